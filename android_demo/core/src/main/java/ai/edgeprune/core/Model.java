package ai.edgeprune.core;

import com.eclipsesource.json.JsonObject;

/** A model file of a bundle. */
public final class Model {
    /** "dense" or "pruned". */
    public final String network;
    /** "litert" or "executorch". */
    public final String runtime;
    /** Relative to the bundle. */
    public final String file;
    /** "float32", "float16", "int8", ... */
    public final String precision;
    public final String sha256;
    public final long sizeBytes;
    /** (1, C, H, W), or (1, H, W, C) if not `channelsFirst`. */
    public final int[] inputShape;
    public final boolean channelsFirst;

    Model(JsonObject json) throws BundleException {
        Fields.require(json, "network", "dense", "pruned");
        Fields.require(json, "runtime", Engine.LITERT, Engine.EXECUTORCH);
        Fields.require(json, "layout", "NCHW", "NHWC", "");
        network = Fields.text(json, "network");
        runtime = Fields.text(json, "runtime");
        file = ModelBundle.relative(Fields.text(json, "file"));
        precision = Fields.text(json, "precision");
        sha256 = Fields.text(json, "sha256");
        sizeBytes = Fields.size(json, "size_bytes");
        inputShape = Fields.shape(json, "input_shape");
        channelsFirst = !Fields.text(json, "layout").equals("NHWC");
    }
}
