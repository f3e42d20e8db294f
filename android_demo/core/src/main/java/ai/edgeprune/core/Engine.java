package ai.edgeprune.core;

import java.io.File;
import java.util.Random;

/** A runtime with a model loaded. Of one thread. */
public interface Engine extends AutoCloseable {
    String LITERT = "litert";
    String EXECUTORCH = "executorch";

    /** Set the only input, as many numbers as its shape has. */
    void input(float[] numbers) throws EngineException;

    /** Fill every input: float32 uniform in [-1, 1), others 0. */
    void fill(Random random) throws EngineException;

    /** One inference. */
    void run() throws EngineException;

    /** The first output of the last run. */
    float[] output() throws EngineException;

    /** The version of the runtime. */
    String version();

    /** What computes: "xnnpack", ... */
    String delegate();

    int threads();

    @Override
    void close();

    /** Opens models; the only place that knows which runtimes there are. */
    interface Factory {
        /**
         * Load the file. `runtime` is LITERT or EXECUTORCH, `delegate` "cpu" or another; `shapes` of the inputs are for
         * a runtime whose files do not tell them, and may be empty for others.
         */
        Engine open(File model, String runtime, int threads, String delegate, int[][] shapes) throws EngineException;
    }
}
