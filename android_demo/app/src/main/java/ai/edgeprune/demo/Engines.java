package ai.edgeprune.demo;

import ai.edgeprune.core.Engine;
import ai.edgeprune.core.EngineException;
import java.io.File;
import java.lang.reflect.InvocationTargetException;

/** The runtimes of this app. ExecuTorch is there only if the app was built with its library. */
final class Engines implements Engine.Factory {
    private static final String EXECUTORCH_ENGINE = "ai.edgeprune.demo.ExecuTorchEngine";

    /** Whether the app was built with a runtime's library. */
    static boolean has(String runtime) {
        try {
            return runtime.equals(Engine.LITERT) || Class.forName(EXECUTORCH_ENGINE) != null;
        } catch (ClassNotFoundException left) {
            return false;
        }
    }

    @Override
    public Engine open(File model, String runtime, int threads, String delegate, int[][] shapes)
            throws EngineException {
        if (runtime.equals(Engine.LITERT)) {
            return new TfliteEngine(model, threads, delegate);
        }
        if (!runtime.equals(Engine.EXECUTORCH)) {
            throw new EngineException(EngineException.BAD_REQUEST, "this app has no runtime " + runtime);
        }
        try {
            Class<?> engine = Class.forName(EXECUTORCH_ENGINE);
            return (Engine) engine.getDeclaredConstructor(File.class, int.class, String.class, int[][].class)
                    .newInstance(model, threads, delegate, shapes);
        } catch (ClassNotFoundException left) {
            throw new EngineException(EngineException.VERSION, "this app was built without ExecuTorch");
        } catch (InvocationTargetException error) {
            throw EngineException.of(error.getCause());
        } catch (ReflectiveOperationException error) {
            throw EngineException.of(error);
        }
    }
}
