package ai.edgeprune.demo;

import ai.edgeprune.core.EngineException;
import ai.edgeprune.core.JvmEngine;
import java.io.File;

/** In the place of the app's class of this name, whose native library is Android's: the same C++ on the JVM. */
final class TfliteEngine extends JvmEngine {
    TfliteEngine(File model, int threads, String delegate) throws EngineException {
        super(model, threads, delegate);
    }
}
