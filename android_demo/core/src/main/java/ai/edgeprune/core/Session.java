package ai.edgeprune.core;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.ParseException;
import java.util.List;

/** What the user has chosen on the main screen. Survives rotation and the death of the process as a text. */
public final class Session {
    public static final int[] THREADS = {1, 2, 4};

    private final List<ModelBundle> bundles;
    private int bundle;
    private int runtime;
    private int threads;
    private int sample;
    /** A picture of the gallery as its address; empty: a sample of the bundle. */
    private String picture = "";
    private boolean live;

    /** `bundles` is what the app carries; it may be empty. */
    public Session(List<ModelBundle> bundles) {
        this.bundles = bundles;
    }

    /** Take up a saved session; whatever no longer exists falls back to the first. */
    public static Session restore(List<ModelBundle> bundles, String saved) {
        Session session = new Session(bundles);
        JsonObject json;
        try {
            json = saved == null ? Json.object() : Json.parse(saved).asObject();
            for (int i = 0; i < bundles.size(); i++) {
                if (bundles.get(i).name.equals(json.getString("bundle", ""))) {
                    session.bundle = i;
                    session.chooseRuntime(bundles.get(i).runtimes().indexOf(json.getString("runtime", "")));
                    session.chooseSample(json.getInt("sample", 0));
                    session.picture = json.getString("picture", "");
                    session.live = json.getBoolean("live", false);
                }
            }
            session.chooseThreads(json.getInt("threads", 0));
        } catch (ParseException | UnsupportedOperationException | NumberFormatException broken) {
            return new Session(bundles);
        }
        return session;
    }

    /** All choices as a text. */
    public String save() {
        JsonObject json = Json.object().add("threads", threads).add("sample", sample).add("picture", picture)
                .add("live", live);
        if (bundle() != null) {
            json.add("bundle", bundle().name).add("runtime", runtime());
        }
        return json.toString();
    }

    /** The chosen bundle, null if there is none. */
    public ModelBundle bundle() {
        return bundles.isEmpty() ? null : bundles.get(bundle);
    }

    public List<ModelBundle> bundles() {
        return bundles;
    }

    public String runtime() {
        return bundle().runtimes().get(runtime);
    }

    public int threads() {
        return THREADS[threads];
    }

    /** The chosen sample, null if a picture of the gallery is chosen or the bundle has none. */
    public ModelBundle.Sample sample() {
        return picture.isEmpty() && !bundle().samples.isEmpty() ? bundle().samples.get(sample) : null;
    }

    public String picture() {
        return picture;
    }

    public int bundleIndex() {
        return bundle;
    }

    public int runtimeIndex() {
        return runtime;
    }

    public int threadsIndex() {
        return threads;
    }

    /** Another bundle; its first runtime if it lacks the one chosen so far, and its first sample. */
    public void chooseBundle(int index) {
        if (index != bundle && index >= 0 && index < bundles.size()) {
            String before = runtime();
            bundle = index;
            runtime = Math.max(0, bundle().runtimes().indexOf(before));
            sample = 0;
        }
    }

    public void chooseRuntime(int index) {
        if (index >= 0 && index < bundle().runtimes().size()) {
            runtime = index;
        }
    }

    public void chooseThreads(int index) {
        if (index >= 0 && index < THREADS.length) {
            threads = index;
        }
    }

    public void chooseSample(int index) {
        if (index >= 0 && index < bundle().samples.size()) {
            sample = index;
            picture = "";
            live = false;
        }
    }

    /** The next sample, the first after the last; leaves the camera and the gallery's picture. */
    public void nextSample() {
        chooseSample(picture.isEmpty() && !live ? (sample + 1) % Math.max(1, bundle().samples.size()) : sample);
    }

    public void choosePicture(String address) {
        picture = address;
        live = false;
    }

    /** Whether the camera is looked through, instead of at the sample or picture. */
    public boolean live() {
        return live;
    }

    public void chooseLive(boolean chosen) {
        live = chosen;
    }
}
