package ai.edgeprune.demo;

import ai.edgeprune.core.Column;
import ai.edgeprune.core.Engine;
import ai.edgeprune.core.EngineException;
import ai.edgeprune.core.Model;
import ai.edgeprune.core.ModelBundle;
import ai.edgeprune.core.Pixels;
import ai.edgeprune.core.Preprocessing;
import ai.edgeprune.core.Ranking;
import ai.edgeprune.core.Session;
import android.app.Activity;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Debug;
import android.view.View;
import android.view.ViewGroup.LayoutParams;
import android.widget.ImageView;
import android.widget.LinearLayout;
import android.widget.TextView;
import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** The lower half of the main screen: the picture as the networks see it, and what each answers. Works off the UI. */
final class SideBySide {
    private static final String[] NETWORKS = {"dense", "pruned"};
    private static final int[] TITLES = {R.string.dense, R.string.pruned};

    private final Activity activity;
    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private final AtomicInteger waiting = new AtomicInteger();
    private final LinearLayout view;
    private final ImageView picture;
    private final TextView caption;
    private final TextView memory;
    private final TextView[] words = new TextView[NETWORKS.length];
    private final Bars[] bars = new Bars[NETWORKS.length];
    // Of the worker alone:
    private final Engine[] engines = new Engine[NETWORKS.length];
    private final Column[] columns = new Column[NETWORKS.length];
    private String opened = "";

    SideBySide(Activity activity) {
        this.activity = activity;
        float density = activity.getResources().getDisplayMetrics().density;
        view = new LinearLayout(activity);
        view.setOrientation(LinearLayout.VERTICAL);
        picture = new ImageView(activity);
        caption = new TextView(activity);
        memory = new TextView(activity);
        view.addView(picture, new LinearLayout.LayoutParams(LayoutParams.MATCH_PARENT, (int) (200 * density)));
        view.addView(caption);
        LinearLayout pair = new LinearLayout(activity);
        for (int i = 0; i < NETWORKS.length; i++) {
            LinearLayout side = new LinearLayout(activity);
            side.setOrientation(LinearLayout.VERTICAL);
            TextView title = new TextView(activity);
            title.setText(TITLES[i]);
            words[i] = new TextView(activity);
            bars[i] = new Bars(activity, false);
            side.addView(title);
            side.addView(bars[i], new LinearLayout.LayoutParams(LayoutParams.MATCH_PARENT, (int) (90 * density)));
            side.addView(words[i]);
            pair.addView(side, new LinearLayout.LayoutParams(0, LayoutParams.WRAP_CONTENT, 1));
        }
        view.addView(pair);
        view.addView(memory);
    }

    View view() {
        return view;
    }

    void close() {
        worker.execute(new Runnable() {
            @Override
            public void run() {
                closeEngines();
            }
        });
        worker.shutdown();
    }

    /** Whether something is still to be classified. */
    boolean busy() {
        return waiting.get() > 0;
    }

    /** A message in the caption's place, in turn after what is being classified. */
    void say(final String text) {
        work(new Runnable() {
            @Override
            public void run() {
                show(null, text);
            }
        });
    }

    /** Show what both networks say of the session's picture, or of `frame` if there is one. */
    void classify(Session session, final File folder, final Pixels frame) {
        final ModelBundle bundle = session.bundle();
        final String runtime = session.runtime();
        final int threads = session.threads();
        final ModelBundle.Sample sample = session.sample();
        final String address = session.picture();
        work(new Runnable() {
            @Override
            public void run() {
                open(bundle, folder, runtime, threads);
                if (bundle.preprocessing == null) {
                    show(null, activity.getString(R.string.no_preprocessing));
                    return;
                }
                try {
                    Pixels picture = frame != null ? frame : read(bundle.preprocessing, folder, sample, address);
                    Pixels seen = bundle.preprocessing.fit(picture);
                    for (int i = 0; i < NETWORKS.length; i++) {
                        answer(i, bundle, runtime, seen);
                    }
                    String title = sample == null ? "" : sample.label;
                    show(Pictures.show(seen), frame == null ? title : activity.getString(R.string.camera_live));
                } catch (IOException | SecurityException | OutOfMemoryError error) {
                    show(null, String.valueOf(error.getMessage()));
                }
            }
        });
    }

    private void work(final Runnable task) {
        if (worker.isShutdown()) { // a frame that came as the screen went
            return;
        }
        waiting.incrementAndGet();
        worker.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    task.run();
                } finally {
                    waiting.decrementAndGet();
                }
            }
        });
    }

    private Pixels read(Preprocessing how, File folder, ModelBundle.Sample sample, String address) throws IOException {
        if (sample != null) {
            return Pictures.read(new File(folder, sample.file), how);
        }
        if (address.isEmpty()) {
            throw new IOException("Choose a picture of the gallery: this bundle has no samples.");
        }
        return Pictures.read(activity.getContentResolver(), Uri.parse(address), how);
    }

    private void open(ModelBundle bundle, File folder, String runtime, int threads) {
        String wanted = folder + " " + runtime + " " + threads;
        if (wanted.equals(opened)) {
            return;
        }
        closeEngines();
        opened = wanted;
        for (int i = 0; i < NETWORKS.length; i++) {
            Model model = bundle.model(NETWORKS[i], runtime);
            columns[i] = model == null ? null : new Column(model);
            if (model == null) {
                continue;
            }
            try {
                engines[i] = new Engines().open(
                        new File(folder, model.file), runtime, threads, "cpu", new int[][] {model.inputShape});
            } catch (EngineException | OutOfMemoryError | UnsatisfiedLinkError error) {
                columns[i].failed(error);
            }
        }
    }

    private void closeEngines() {
        for (int i = 0; i < engines.length; i++) {
            if (engines[i] != null) {
                engines[i].close();
                engines[i] = null;
            }
        }
    }

    private void answer(int i, ModelBundle bundle, String runtime, Pixels seen) {
        if (engines[i] == null) {
            return;
        }
        try {
            boolean channelsFirst = bundle.model(NETWORKS[i], runtime).channelsFirst;
            engines[i].input(bundle.preprocessing.normalise(seen, channelsFirst));
            long start = System.nanoTime();
            engines[i].run();
            long took = System.nanoTime() - start;
            columns[i].answered(engines[i].output(), bundle.labels, took);
        } catch (EngineException | RuntimeException | OutOfMemoryError error) {
            columns[i].failed(error);
        }
    }

    private void show(final Bitmap image, final String text) {
        final double[][] shares = new double[NETWORKS.length][];
        final String[][] names = new String[NETWORKS.length][];
        final String[] texts = new String[NETWORKS.length];
        for (int i = 0; i < NETWORKS.length; i++) {
            List<Ranking> top = columns[i] == null ? new java.util.ArrayList<Ranking>() : columns[i].top();
            shares[i] = new double[top.size()];
            names[i] = new String[top.size()];
            for (int k = 0; k < top.size(); k++) {
                shares[i][k] = top.get(k).probability;
                names[i][k] = String.format(Locale.ROOT, "%s %.0f %%", top.get(k).label, 100 * shares[i][k]);
            }
            texts[i] = columns[i] == null ? "not in this bundle" : columns[i].describe();
        }
        final String level = String.format(Locale.ROOT, "Memory of the app: %.0f MiB (PSS)", Debug.getPss() / 1024.0);
        activity.runOnUiThread(new Runnable() {
            @Override
            public void run() {
                picture.setImageBitmap(image);
                caption.setText(text);
                memory.setText(level);
                for (int i = 0; i < NETWORKS.length; i++) {
                    bars[i].show(shares[i], names[i]);
                    words[i].setText(texts[i]);
                }
            }
        });
    }
}
