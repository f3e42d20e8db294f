package ai.edgeprune.core;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import com.eclipsesource.json.ParseException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What a run delivers for an app: bundle.json beside models and sample images. docs/bundle.md describes it. */
public final class ModelBundle {
    public static final int SCHEMA = 1;
    public static final String FILE = "bundle.json";

    public final String name;
    /** The classes in the order of the outputs; empty if the network is no classifier. */
    public final List<String> labels;
    /** Null if the run did not know it: such a network can be measured, but not shown pictures. */
    public final Preprocessing preprocessing;
    public final List<Model> models;
    public final List<Sample> samples;

    /** A picture that comes with a bundle. */
    public static final class Sample {
        public final String file;
        public final String label;

        Sample(JsonObject json) throws BundleException {
            file = relative(Fields.text(json, "file"));
            label = Fields.text(json, "label");
        }
    }

    private ModelBundle(JsonObject json) throws BundleException {
        name = Fields.text(json, "name");
        labels = Collections.unmodifiableList(Fields.texts(json, "labels"));
        JsonValue known = Fields.get(json, "preprocessing");
        preprocessing = known.isNull() ? null : new Preprocessing(Fields.asObject(known, "preprocessing"));
        List<Model> found = new ArrayList<>();
        for (JsonValue model : Fields.array(json, "models")) {
            found.add(new Model(Fields.asObject(model, "models")));
        }
        if (found.isEmpty()) {
            throw new BundleException("the bundle has no model");
        }
        models = Collections.unmodifiableList(found);
        List<Sample> pictures = new ArrayList<>();
        for (JsonValue sample : Fields.array(json, "samples")) {
            pictures.add(new Sample(Fields.asObject(sample, "samples")));
        }
        samples = Collections.unmodifiableList(pictures);
    }

    /** Read the text of bundle.json. */
    public static ModelBundle parse(String text) throws BundleException {
        JsonObject json;
        try {
            json = Fields.asObject(Json.parse(text), FILE);
        } catch (ParseException error) {
            throw new BundleException(FILE + " is broken: " + error.getMessage());
        }
        int schema = Fields.positive(json, "schema");
        if (schema != SCHEMA) {
            throw new BundleException(
                    "the bundle is of schema " + schema + ", this app reads " + SCHEMA + ": build the app again");
        }
        return new ModelBundle(json);
    }

    /** The runtimes that it has models for, in their order. */
    public List<String> runtimes() {
        List<String> runtimes = new ArrayList<>();
        for (Model model : models) {
            if (!runtimes.contains(model.runtime)) {
                runtimes.add(model.runtime);
            }
        }
        return runtimes;
    }

    /** The model of a network ("dense" or "pruned") for a runtime, or null. */
    public Model model(String network, String runtime) {
        for (Model model : models) {
            if (model.network.equals(network) && model.runtime.equals(runtime)) {
                return model;
            }
        }
        return null;
    }

    static String relative(String file) throws BundleException {
        if (file.isEmpty() || file.startsWith("/") || file.contains("..") || file.contains("\\")) {
            throw new BundleException("'" + file + "' leaves the bundle");
        }
        return file;
    }
}
