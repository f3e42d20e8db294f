package ai.edgeprune.demo;

import ai.edgeprune.core.BenchmarkRequest;
import ai.edgeprune.core.Engine;
import ai.edgeprune.core.Model;
import ai.edgeprune.core.ModelBundle;
import ai.edgeprune.core.Pixels;
import ai.edgeprune.core.Results;
import ai.edgeprune.core.Session;
import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.widget.AdapterView;
import android.widget.ArrayAdapter;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.ScrollView;
import android.widget.Spinner;
import android.widget.TextView;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/** Dense and pruned side by side on a sample, a picture or the camera; bundle, runtime and threads are chosen. */
public final class MainActivity extends Activity implements LiveCamera.Listener {
    private static final int GALLERY = 1;
    private static final int CAMERA = 2;
    private static final String SESSION = "session";

    private Bundles bundles;
    private Session session;
    private SideBySide sideBySide;
    private LiveCamera camera;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        LinearLayout column = new LinearLayout(this);
        column.setOrientation(LinearLayout.VERTICAL);
        column.setPadding(24, 24, 24, 24);
        ScrollView scroll = new ScrollView(this);
        scroll.addView(column);
        setContentView(scroll);
        try {
            bundles = new Bundles(this);
        } catch (IOException error) {
            say(column, error.getMessage());
            return;
        }
        for (String problem : bundles.broken) {
            say(column, problem);
        }
        String cut = new Results(getFilesDir()).cutShort();
        if (cut != null) {
            say(column, "The last benchmark was cut short (" + cut + "). Start it again.");
        }
        if (bundles.bundles.isEmpty()) {
            say(column, getString(R.string.no_bundle));
            return;
        }
        session = Session.restore(bundles.bundles, state == null ? null : state.getString(SESSION));
        build(column);
        if (!session.live()) {
            classify();
        }
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        if (session != null) {
            state.putString(SESSION, session.save());
        }
    }

    @Override
    protected void onDestroy() {
        super.onDestroy();
        if (sideBySide != null) {
            sideBySide.close();
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request == GALLERY && result == RESULT_OK && data != null && data.getData() != null) {
            Uri address = data.getData();
            getContentResolver().takePersistableUriPermission(address, Intent.FLAG_GRANT_READ_URI_PERMISSION);
            session.choosePicture(address.toString());
            classify();
        }
    }

    @Override
    protected void onResume() {
        super.onResume();
        if (session != null && session.live()) {
            look();
        }
    }

    @Override
    protected void onPause() {
        super.onPause();
        lookAway();
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] asked, int[] results) {
        if (request != CAMERA || session == null) {
            return;
        }
        if (results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED) {
            session.chooseLive(true);
            look();
        } else {
            sideBySide.say(getString(R.string.camera_refused));
        }
    }

    /** Start the camera's frames, if that is still allowed. */
    private void look() {
        if (camera != null) {
            return;
        }
        if (!mayLook()) {
            session.chooseLive(false);
            sideBySide.say(getString(R.string.camera_refused));
            return;
        }
        camera = new LiveCamera(this, this);
        camera.open();
    }

    private boolean mayLook() {
        return checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED;
    }

    private void lookAway() {
        if (camera != null) {
            camera.close();
            camera = null;
        }
    }

    @Override
    public boolean wants() {
        return !sideBySide.busy();
    }

    @Override
    public void frame(final Pixels upright) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                if (camera != null) {
                    sideBySide.classify(session, bundles.folders.get(session.bundleIndex()), upright);
                }
            }
        });
    }

    @Override
    public void failed(final String why) {
        runOnUiThread(new Runnable() {
            @Override
            public void run() {
                lookAway();
                session.chooseLive(false);
                sideBySide.say(why);
            }
        });
    }

    private void build(LinearLayout column) {
        List<String> names = new ArrayList<>();
        for (ModelBundle bundle : bundles.bundles) {
            names.add(bundle.name);
        }
        List<String> threads = new ArrayList<>();
        for (int count : Session.THREADS) {
            threads.add(count == 1 ? "1 thread" : count + " threads");
        }
        final LinearLayout runtimes = new LinearLayout(this);
        column.addView(chooser(names, session.bundleIndex(), new Choice() {
            @Override
            public void chosen(int index) {
                session.chooseBundle(index);
                runtimes.removeAllViews();
                runtimes.addView(runtimeChooser());
                classify();
            }
        }));
        runtimes.addView(runtimeChooser());
        column.addView(runtimes);
        column.addView(chooser(threads, session.threadsIndex(), new Choice() {
            @Override
            public void chosen(int index) {
                session.chooseThreads(index);
                classify();
            }
        }));
        LinearLayout buttons = new LinearLayout(this);
        buttons.addView(button(R.string.next_sample, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                session.nextSample();
                classify();
            }
        }));
        buttons.addView(button(R.string.gallery, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                Intent ask = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE);
                startActivityForResult(ask.setType("image/*"), GALLERY);
            }
        }));
        buttons.addView(button(R.string.camera, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                if (session.live()) {
                    session.chooseLive(false);
                    classify();
                } else if (mayLook()) {
                    session.chooseLive(true);
                    look();
                } else {
                    requestPermissions(new String[] {Manifest.permission.CAMERA}, CAMERA);
                }
            }
        }));
        column.addView(buttons);
        LinearLayout benchmarks = new LinearLayout(this);
        benchmarks.addView(benchmarkButton(R.string.dense, "dense"));
        benchmarks.addView(benchmarkButton(R.string.pruned, "pruned"));
        column.addView(benchmarks);
        sideBySide = new SideBySide(this);
        column.addView(sideBySide.view());
    }

    /** The session's picture; the camera's next frame is classified anyway. */
    private void classify() {
        if (!session.live()) {
            lookAway();
            sideBySide.classify(session, bundles.folders.get(session.bundleIndex()), null);
        }
    }

    /** The camera, null while nothing is looked at through it. */
    LiveCamera camera() {
        return camera;
    }

    private Spinner runtimeChooser() {
        List<String> runtimes = session.bundle().runtimes();
        if (!Engines.has(Engine.EXECUTORCH)) {
            runtimes.add(getString(R.string.no_executorch));
        }
        return chooser(runtimes, session.runtimeIndex(), new Choice() {
            @Override
            public void chosen(int index) {
                session.chooseRuntime(index);
                classify();
            }
        });
    }

    private Button benchmarkButton(int title, final String network) {
        Button button = button(title, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                benchmark(session.bundle().model(network, session.runtime()));
            }
        });
        button.setText(getString(R.string.benchmark) + ": " + getString(title));
        return button;
    }

    private void benchmark(Model model) {
        if (model == null) {
            return;
        }
        File file = new File(bundles.folders.get(session.bundleIndex()), model.file);
        StringBuilder shape = new StringBuilder();
        for (int size : model.inputShape) {
            shape.append(shape.length() == 0 ? "" : ",").append(size);
        }
        startActivity(new Intent(this, BenchmarkActivity.class)
                .putExtra("protocol", BenchmarkRequest.PROTOCOL)
                .putExtra("run_id", UUID.randomUUID().toString())
                .putExtra("model", getFilesDir().toURI().relativize(file.toURI()).getPath())
                .putExtra("format", model.runtime)
                .putExtra("shapes", shape.toString())
                .putExtra("threads", session.threads())
                .putExtra("warmup_runs", 10)
                .putExtra("warmup_ms", 1000)
                .putExtra("min_runs", 100)
                .putExtra("min_ms", 2000)
                .putExtra("max_ms", 60000));
    }

    private interface Choice {
        void chosen(int index);
    }

    private Spinner chooser(final List<String> texts, final int first, final Choice choice) {
        Spinner spinner = new Spinner(this);
        final String absent = getString(R.string.no_executorch);
        spinner.setAdapter(new ArrayAdapter<String>(this, android.R.layout.simple_spinner_dropdown_item, texts) {
            @Override
            public boolean isEnabled(int index) {
                return !texts.get(index).equals(absent);
            }
        });
        spinner.setSelection(first);
        spinner.setOnItemSelectedListener(new AdapterView.OnItemSelectedListener() {
            private int chosen = first;

            @Override
            public void onItemSelected(AdapterView<?> list, View item, int index, long id) {
                if (index != chosen) { // a spinner also reports the choice that it was made with
                    chosen = index;
                    choice.chosen(index);
                }
            }

            @Override
            public void onNothingSelected(AdapterView<?> list) {}
        });
        return spinner;
    }

    private Button button(int title, View.OnClickListener listener) {
        Button button = new Button(this);
        button.setText(title);
        button.setOnClickListener(listener);
        return button;
    }

    private void say(LinearLayout column, String text) {
        TextView line = new TextView(this);
        line.setText(text);
        column.addView(line);
    }
}
