package ai.edgeprune.demo;

import ai.edgeprune.core.Benchmark;
import ai.edgeprune.core.BenchmarkRequest;
import ai.edgeprune.core.EngineException;
import ai.edgeprune.core.Measured;
import ai.edgeprune.core.Reply;
import ai.edgeprune.core.Results;
import ai.edgeprune.core.Statistics;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.os.Bundle;
import android.util.Log;
import android.view.ViewGroup.LayoutParams;
import android.view.WindowManager;
import android.widget.LinearLayout;
import android.widget.TextView;
import java.io.IOException;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** Measures one model as docs/benchmark-protocol.md says, asked by adb or by the main screen; shows the histogram. */
public final class BenchmarkActivity extends Activity {
    private static final String TAG = "EdgePruneBenchmark";
    private static final int BINS = 40;

    private volatile boolean left;
    private TextView words;
    private Bars histogram;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
                | WindowManager.LayoutParams.FLAG_TURN_SCREEN_ON | WindowManager.LayoutParams.FLAG_SHOW_WHEN_LOCKED);
        LinearLayout column = new LinearLayout(this);
        column.setOrientation(LinearLayout.VERTICAL);
        column.setPadding(32, 32, 32, 32);
        words = new TextView(this);
        words.setTextIsSelectable(true);
        histogram = new Bars(this, true);
        column.addView(words);
        column.addView(histogram, new LinearLayout.LayoutParams(LayoutParams.MATCH_PARENT, 0, 1));
        setContentView(column);
        if (state != null) {
            words.setText(state.getCharSequence("words", "The benchmark was cut short. Start it again."));
            return; // the process had died: nothing is measured twice by itself
        }
        start(getIntent());
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        if (left) {
            state.putCharSequence("words", words.getText());
        }
    }

    @Override
    protected void onStop() {
        super.onStop();
        left = true;
    }

    private void start(Intent intent) {
        final Map<String, Object> extras = new HashMap<>();
        for (String name : intent.getExtras() == null ? new java.util.HashSet<String>() : intent.getExtras().keySet()) {
            extras.put(name, intent.getExtras().get(name));
        }
        words.setText(String.format(Locale.ROOT, "Measuring %s ...", extras.get("model")));
        new Thread("benchmark") {
            @Override
            public void run() {
                measure(extras);
            }
        }.start();
    }

    private void measure(Map<String, Object> extras) {
        String runId;
        try {
            runId = BenchmarkRequest.runId(extras);
        } catch (EngineException error) {
            Log.e(TAG, error.getMessage());
            tell(error.getMessage(), null);
            return;
        }
        Results results = new Results(getFilesDir());
        try {
            results.begin(runId);
            String reply;
            try {
                Measured found = benchmark().run(BenchmarkRequest.parse(extras), getFilesDir());
                reply = Reply.of(runId, version(), found);
                tell(describe(found), found.samples);
            } catch (EngineException error) {
                reply = Reply.of(runId, version(), error);
                tell(error.getMessage(), null);
            }
            results.finish(runId, reply);
            Log.i(TAG, runId + " done");
        } catch (IOException error) {
            Log.e(TAG, runId + " cannot be written: " + error.getMessage());
            tell(error.getMessage(), null);
        }
    }

    private Benchmark benchmark() {
        return new Benchmark(new Engines(), new AndroidPhone(this), new Benchmark.Watch() {
            @Override
            public boolean stop(int runs) {
                return left;
            }
        });
    }

    private String version() {
        try {
            return getPackageManager().getPackageInfo(getPackageName(), 0).versionName;
        } catch (PackageManager.NameNotFoundException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static String describe(Measured found) {
        Statistics times = new Statistics(found.samples);
        return String.format(Locale.ROOT,
                "%s %s, %s, threads: %d\nmedian %.3f ms, p10 %.3f, p90 %.3f of %d runs\nload %.1f ms, first run %.3f ms",
                found.runtime, found.version, found.delegate, found.threads, times.median() / 1e6,
                times.quantile(0.1) / 1e6, times.quantile(0.9) / 1e6, times.count(), found.loadMs, found.firstMs);
    }

    private void tell(final String text, final long[] samples) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                words.setText(text);
                if (samples != null) {
                    histogram.show(heights(samples), new String[0]);
                }
            }
        });
    }

    private static double[] heights(long[] samples) {
        int[] counts = new Statistics(samples).histogram(BINS);
        int most = 1;
        for (int count : counts) {
            most = Math.max(most, count);
        }
        double[] heights = new double[BINS];
        for (int i = 0; i < BINS; i++) {
            heights[i] = counts[i] / (double) most;
        }
        return heights;
    }
}
