package ai.edgeprune.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import ai.edgeprune.core.ModelBundle;
import ai.edgeprune.core.Orientation;
import ai.edgeprune.core.Pixels;
import ai.edgeprune.core.Preprocessing;
import android.Manifest;
import android.app.Activity;
import android.content.Context;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.ImageFormat;
import android.hardware.camera2.CameraCharacteristics;
import android.net.Uri;
import android.os.Bundle;
import android.util.Size;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.ImageView;
import android.widget.ListAdapter;
import android.widget.Spinner;
import android.widget.SpinnerAdapter;
import android.widget.TextView;
import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadow.api.Shadow;
import org.robolectric.shadows.ShadowActivity;
import org.robolectric.shadows.ShadowApplication;
import org.robolectric.shadows.ShadowCameraCharacteristics;
import org.robolectric.shadows.ShadowCameraManager;
import org.robolectric.shadows.ShadowLooper;
import org.robolectric.shadows.StreamConfigurationMapBuilder;

/** The two screens, with real inference; pictures of them are left in the folder of the system property "screens". */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 29, qualifiers = "w411dp-h731dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class ScreensTest {
    private static final long PATIENCE_MS = 30000;

    private interface Condition {
        boolean holds();
    }

    private static void await(String what, Condition condition) throws Exception {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (!condition.holds()) {
            assertTrue("never: " + what, System.currentTimeMillis() < end);
            Thread.sleep(20);
            ShadowLooper.idleMainLooper();
        }
    }

    private static <T extends View> List<T> all(Activity activity, Class<T> kind) {
        List<T> found = new ArrayList<>();
        collect(activity.findViewById(android.R.id.content), kind, found);
        return found;
    }

    private static <T extends View> void collect(View view, Class<T> kind, List<T> found) {
        if (kind.isInstance(view)) {
            found.add(kind.cast(view));
        }
        for (int i = 0; view instanceof ViewGroup && i < ((ViewGroup) view).getChildCount(); i++) {
            collect(((ViewGroup) view).getChildAt(i), kind, found);
        }
    }

    private static String text(Activity activity) {
        StringBuilder text = new StringBuilder();
        for (TextView view : all(activity, TextView.class)) {
            text.append(view.getText()).append('\n');
        }
        return text.toString();
    }

    private static void awaitText(final Activity activity, final String wanted) throws Exception {
        await(wanted + " in:\n" + text(activity), new Condition() {
            @Override
            public boolean holds() {
                return text(activity).contains(wanted);
            }
        });
    }

    private static String answer(Activity activity, int side) {
        return String.valueOf(all(activity, Bars.class).get(side).getContentDescription());
    }

    private static void press(Activity activity, String title) {
        for (Button button : all(activity, Button.class)) {
            if (button.getText().toString().equals(title)) {
                button.performClick();
                return;
            }
        }
        throw new AssertionError("no button " + title + " in:\n" + text(activity));
    }

    /** Draw the screen into a PNG; true if it shows the bars' colour. */
    private static boolean picture(Activity activity, String name) throws Exception {
        View root = activity.getWindow().getDecorView();
        int width = 822;
        int height = 1462;
        root.measure(View.MeasureSpec.makeMeasureSpec(width, View.MeasureSpec.EXACTLY),
                View.MeasureSpec.makeMeasureSpec(height, View.MeasureSpec.EXACTLY));
        root.layout(0, 0, width, height);
        Bitmap bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
        root.draw(new Canvas(bitmap));
        try (FileOutputStream file = new FileOutputStream(new File(System.getProperty("screens"), name + ".png"))) {
            bitmap.compress(Bitmap.CompressFormat.PNG, 100, file);
        }
        for (int y = 0; y < height; y += 2) {
            for (int x = 0; x < width; x += 2) {
                if (bitmap.getPixel(x, y) == Color.rgb(165, 214, 167)) {
                    return true;
                }
            }
        }
        return false;
    }

    private static File files() {
        return RuntimeEnvironment.getApplication().getFilesDir();
    }

    @Test
    public void bothNetworksClassifyTheSample() throws Exception {
        Activity main = Robolectric.setupActivity(MainActivity.class);
        awaitText(main, "ms now");
        assertTrue(answer(main, 0), answer(main, 0).startsWith("0 "));
        String before = answer(main, 0);
        press(main, "Next sample");
        awaitText(main, "of 2");
        assertTrue(answer(main, 0), answer(main, 0).startsWith("1 "));
        assertFalse(before.equals(answer(main, 0)));
        assertEquals(3, answer(main, 1).split(", ").length);
        Bitmap seen = ((android.graphics.drawable.BitmapDrawable) all(main, ImageView.class).get(0).getDrawable())
                .getBitmap();
        assertEquals(8, seen.getWidth());
        assertTrue("no bars on the screen", picture(main, "main"));
    }

    @Test
    public void aRuntimeThatWasLeftOutIsListedButCannotBeChosen() throws Exception {
        Activity main = Robolectric.setupActivity(MainActivity.class);
        SpinnerAdapter runtimes = all(main, Spinner.class).get(1).getAdapter();
        assertEquals(2, runtimes.getCount());
        assertEquals("litert", runtimes.getItem(0));
        assertEquals("executorch: not in this build", runtimes.getItem(1));
        assertTrue(((ListAdapter) runtimes).isEnabled(0));
        assertFalse(((ListAdapter) runtimes).isEnabled(1));
    }

    /** A camera on the back, mounted as in most phones: its frames lie on their side. */
    private static void addCamera() {
        CameraCharacteristics facts = ShadowCameraCharacteristics.newCameraCharacteristics();
        ShadowCameraCharacteristics camera = Shadow.extract(facts);
        camera.set(CameraCharacteristics.LENS_FACING, CameraCharacteristics.LENS_FACING_BACK);
        camera.set(CameraCharacteristics.SENSOR_ORIENTATION, 90);
        camera.set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, StreamConfigurationMapBuilder.newBuilder()
                .addOutputSize(ImageFormat.YUV_420_888, new Size(640, 480)).build());
        ((ShadowCameraManager) Shadow.extract(RuntimeEnvironment.getApplication()
                .getSystemService(Context.CAMERA_SERVICE))).addCamera("0", facts);
    }

    private static void allow(boolean allowed) {
        ShadowApplication phone = Shadow.extract(RuntimeEnvironment.getApplication());
        if (allowed) {
            phone.grantPermissions(Manifest.permission.CAMERA);
        } else {
            phone.denyPermissions(Manifest.permission.CAMERA);
        }
    }

    /** What the sensor sees of a sample that is held upright: turned back by a quarter. */
    private static Pixels lying(String sample) throws Exception {
        File bundle = new File(files(), "bundles").listFiles()[0];
        Preprocessing how = ModelBundle.parse(new String(
                Files.readAllBytes(new File(bundle, "bundle.json").toPath()), StandardCharsets.UTF_8)).preprocessing;
        return Orientation.upright(Pictures.read(new File(bundle, "samples/" + sample), how), 8);
    }

    private static void awaitAnswer(final Activity activity, final String label) throws Exception {
        await(label + " first, found " + answer(activity, 0), new Condition() {
            @Override
            public boolean holds() {
                return answer(activity, 0).startsWith(label + " ");
            }
        });
    }

    @Test
    public void theCameraIsLookedThroughOnceItIsAllowed() throws Exception {
        addCamera();
        allow(false);
        MainActivity main = Robolectric.setupActivity(MainActivity.class);
        awaitText(main, "ms now");
        press(main, "Camera");
        ShadowActivity.PermissionsRequest asked = ((ShadowActivity) Shadow.extract(main)).getLastRequestedPermission();
        assertArrayEquals(new String[] {Manifest.permission.CAMERA}, asked.requestedPermissions);
        assertNull("looked before it was allowed", main.camera());
        allow(true);
        main.onRequestPermissionsResult(asked.requestCode, asked.requestedPermissions, new int[] {0});
        main.camera().deliver(lying("07.png"));
        awaitAnswer(main, "7");
        awaitText(main, "camera");
        main.camera().deliver(lying("04.png"));
        awaitAnswer(main, "4");
        press(main, "Next sample");
        awaitAnswer(main, "0");
        assertNull("the camera goes on behind a sample", main.camera());
    }

    @Test
    public void aRefusedCameraIsToldAndTheRestWorks() throws Exception {
        addCamera();
        allow(false);
        MainActivity main = Robolectric.setupActivity(MainActivity.class);
        awaitText(main, "ms now");
        press(main, "Camera");
        int request = ((ShadowActivity) Shadow.extract(main)).getLastRequestedPermission().requestCode;
        main.onRequestPermissionsResult(request, new String[] {Manifest.permission.CAMERA}, new int[] {-1});
        awaitText(main, "The camera may not be used.");
        main.onRequestPermissionsResult(request, new String[0], new int[0]); // the question was swept away
        assertNull(main.camera());
        press(main, "Next sample");
        awaitAnswer(main, "1");
    }

    @Test
    public void theCameraSurvivesRotationAndDeathAndRestsMeanwhile() throws Exception {
        addCamera();
        allow(true);
        ActivityController<MainActivity> first = Robolectric.buildActivity(MainActivity.class).setup();
        awaitText(first.get(), "ms now");
        press(first.get(), "Camera");
        assertNotNull(first.get().camera());
        first.pause();
        assertNull("frames behind another app", first.get().camera());
        Bundle state = new Bundle();
        first.saveInstanceState(state).stop().destroy();
        MainActivity second = Robolectric.buildActivity(MainActivity.class).setup(state).get();
        second.camera().deliver(lying("03.png"));
        awaitAnswer(second, "3");
        allow(false); // taken back in the settings while the process was gone
        MainActivity third = Robolectric.buildActivity(MainActivity.class).setup(state).get();
        awaitText(third, "The camera may not be used.");
        assertNull(third.camera());
    }

    @Test
    public void aPhoneWithoutACameraOrWithABusyOneSaysSo() throws Exception {
        allow(true);
        MainActivity main = Robolectric.setupActivity(MainActivity.class);
        awaitText(main, "ms now");
        press(main, "Camera");
        awaitText(main, "This phone has no camera.");
        addCamera();
        press(main, "Camera");
        ShadowLooper.idleMainLooper();
        assertNotNull(main.camera());
        ((ShadowCameraManager) Shadow.extract(main.getSystemService(Context.CAMERA_SERVICE))).triggerDisconnect();
        awaitText(main, "another app took it");
        assertNull(main.camera());
    }

    @Test
    public void choicesSurviveRotationAndDeath() throws Exception {
        ActivityController<MainActivity> first = Robolectric.buildActivity(MainActivity.class).setup();
        awaitText(first.get(), "ms now");
        press(first.get(), "Next sample");
        awaitText(first.get(), "of 2");
        all(first.get(), Spinner.class).get(2).setSelection(1);
        awaitText(first.get(), "of 1");
        Bundle state = new Bundle();
        first.saveInstanceState(state).pause().stop().destroy();
        Activity second = Robolectric.buildActivity(MainActivity.class).setup(state).get();
        awaitText(second, "ms now");
        assertTrue(answer(second, 0), answer(second, 0).startsWith("1 "));
        assertEquals("2 threads", all(second, Spinner.class).get(2).getSelectedItem());
    }

    @Test
    public void aBrokenBundleAndACutBenchmarkAreToldAndTheOthersWork() throws Exception {
        Robolectric.setupActivity(MainActivity.class);
        File bad = new File(files(), "bundles/bad");
        assertTrue(bad.mkdirs());
        Files.write(new File(bad, "bundle.json").toPath(), "{\"schema\": 9}".getBytes(StandardCharsets.UTF_8));
        assertTrue(new File(files(), "benchmark").mkdirs());
        assertTrue(new File(files(), "benchmark/run-7.started").createNewFile());
        Activity main = Robolectric.setupActivity(MainActivity.class);
        assertTrue(text(main), text(main).contains("bad: the bundle is of schema 9"));
        assertTrue(text(main), text(main).contains("cut short (run-7)"));
        awaitText(main, "ms now");
    }

    @Test
    public void theBenchmarkButtonMeasuresAndShowsTheHistogram() throws Exception {
        Activity main = Robolectric.setupActivity(MainActivity.class);
        awaitText(main, "ms now");
        press(main, "Benchmark: pruned");
        Intent asked = ((ShadowActivity) Shadow.extract(main)).getNextStartedActivity();
        assertEquals(BenchmarkActivity.class.getName(), asked.getComponent().getClassName());
        asked.putExtra("min_ms", 50).putExtra("warmup_ms", 10);
        Activity benchmark = Robolectric.buildActivity(BenchmarkActivity.class, asked).setup().get();
        awaitText(benchmark, "median");
        assertTrue("no histogram on the screen", picture(benchmark, "benchmark"));
        String runId = asked.getStringExtra("run_id");
        File answer = new File(files(), "benchmark/" + runId + ".json");
        awaitFile(answer);
        JsonObject reply = Json.parse(new String(Files.readAllBytes(answer.toPath()), StandardCharsets.UTF_8)).asObject();
        assertEquals("ok", reply.getString("status", ""));
        assertEquals(runId, reply.getString("run_id", ""));
        assertTrue(reply.get("samples_ns").asArray().size() >= 100);
        Files.copy(answer.toPath(), new File(System.getProperty("screens"), "reply.json").toPath());
    }

    @Test
    public void everyFailureOfABenchmarkIsAnAnswer() throws Exception {
        Intent missing = new Intent().putExtra("protocol", 1).putExtra("run_id", "none").putExtra("model", "benchmark/x")
                .putExtra("format", "litert").putExtra("threads", 1).putExtra("warmup_runs", 1).putExtra("warmup_ms", 0)
                .putExtra("min_runs", 1).putExtra("min_ms", 0).putExtra("max_ms", 1000);
        Activity activity = Robolectric.buildActivity(BenchmarkActivity.class, missing).setup().get();
        awaitText(activity, "is not among the app's files");
        assertEquals("model_missing", code("none"));
        Robolectric.buildActivity(BenchmarkActivity.class, new Intent().putExtra("run_id", "empty")).setup();
        assertEquals("bad_request", code("empty"));
        Activity unnamed = Robolectric.buildActivity(BenchmarkActivity.class, new Intent()).setup().get();
        awaitText(unnamed, "run_id is null");
    }

    @Test
    public void aBenchmarkThatIsLeftIsInterrupted() throws Exception {
        Activity main = Robolectric.setupActivity(MainActivity.class);
        awaitText(main, "ms now");
        press(main, "Benchmark: dense");
        Intent asked = ((ShadowActivity) Shadow.extract(main)).getNextStartedActivity().putExtra("min_ms", 20000).putExtra("run_id", "left");
        ActivityController<BenchmarkActivity> benchmark = Robolectric.buildActivity(BenchmarkActivity.class, asked).setup();
        benchmark.pause().stop();
        assertEquals("interrupted", code("left"));
        Bundle state = new Bundle();
        benchmark.saveInstanceState(state);
        Activity again = Robolectric.buildActivity(BenchmarkActivity.class, asked).setup(state).get();
        assertTrue(text(again), text(again).contains("left the screen") || text(again).contains("Measuring"));
    }

    private static String code(String runId) throws Exception {
        File answer = new File(files(), "benchmark/" + runId + ".json");
        awaitFile(answer);
        JsonObject reply = Json.parse(new String(Files.readAllBytes(answer.toPath()), StandardCharsets.UTF_8)).asObject();
        return reply.get("error").asObject().getString("code", "");
    }

    private static void awaitFile(final File file) throws Exception {
        await(file.getName(), new Condition() {
            @Override
            public boolean holds() {
                return file.isFile();
            }
        });
    }
}
