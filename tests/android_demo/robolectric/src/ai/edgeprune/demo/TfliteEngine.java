package ai.edgeprune.demo;

import ai.edgeprune.core.Engine;
import ai.edgeprune.core.EngineException;
import ai.edgeprune.core.JvmEngine;
import java.io.File;
import java.util.Random;

/** In the place of the app's class of this name, whose native library is Android's: the same C++ on the JVM. */
final class TfliteEngine implements Engine {
    private final Engine engine;

    TfliteEngine(File model, int threads, String delegate) throws EngineException {
        engine = JvmEngine.FACTORY.open(model, Engine.LITERT, threads, delegate, new int[0][]);
    }

    @Override
    public void input(float[] numbers) throws EngineException {
        engine.input(numbers);
    }

    @Override
    public void fill(Random random) throws EngineException {
        engine.fill(random);
    }

    @Override
    public void run() throws EngineException {
        engine.run();
    }

    @Override
    public float[] output() throws EngineException {
        return engine.output();
    }

    @Override
    public String version() {
        return engine.version();
    }

    @Override
    public String delegate() {
        return engine.delegate();
    }

    @Override
    public int threads() {
        return engine.threads();
    }

    @Override
    public void close() {
        engine.close();
    }
}
