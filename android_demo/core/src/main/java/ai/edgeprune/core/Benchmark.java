package ai.edgeprune.core;

import java.io.File;
import java.util.Arrays;
import java.util.Random;

/** One turn of the protocol: load, first run, warm-up, then every sample kept. Always answers, also with a failure. */
public final class Benchmark {
    static final int MAX_SAMPLES = 1000000;

    /** Called after every run; true stops. */
    public interface Watch {
        boolean stop(int runs);
    }

    private final Engine.Factory engines;
    private final Phone phone;
    private final Watch watch;

    public Benchmark(Engine.Factory engines, Phone phone, Watch watch) {
        this.engines = engines;
        this.phone = phone;
        this.watch = watch;
    }

    /** Measure the file of the request below `files`. Throws EngineException for whatever went wrong. */
    public Measured run(BenchmarkRequest request, File files) throws EngineException {
        File model = new File(files, request.model);
        if (!model.isFile()) {
            throw new EngineException(EngineException.MODEL_MISSING, request.model + " is not among the app's files");
        }
        try {
            return measure(request, model);
        } catch (EngineException | RuntimeException | OutOfMemoryError | UnsatisfiedLinkError failure) {
            throw EngineException.of(failure);
        }
    }

    private Measured measure(BenchmarkRequest request, File model) throws EngineException {
        Measured found = new Measured();
        found.thermalBefore = phone.thermalStatus();
        long level = phone.resetPeakKib();
        long start = phone.nanos();
        try (Engine engine = open(model, request)) {
            found.loadMs = (phone.nanos() - start) / 1e6;
            engine.fill(new Random(0));
            found.firstMs = once(engine) / 1e6;
            repeat(engine, request.warmupRuns, request.warmupMs, MAX_SAMPLES, request.maxMs);
            found.samples = repeat(engine, request.minRuns, request.minMs, request.maxRuns, request.maxMs);
            found.runtime = request.runtime;
            found.version = engine.version();
            found.delegate = engine.delegate();
            found.threads = engine.threads();
            long share = phone.pssKib();
            found.pssMib = share < 0 ? -1 : share / 1024.0;
        }
        long peak = phone.peakKib();
        found.peakMib = level < 0 || peak < 0 ? -1 : Math.max(0, peak - level) / 1024.0;
        found.thermalAfter = phone.thermalStatus();
        found.affinity = phone.affinity();
        return found;
    }

    private Engine open(File model, BenchmarkRequest request) throws EngineException {
        return engines.open(model, request.runtime, request.threads, request.delegate, request.shapes);
    }

    /** Runs until both minima are reached, or a maximum; ns each. */
    private long[] repeat(Engine engine, int minRuns, int minMs, int maxRuns, int maxMs) throws EngineException {
        int most = Math.min(maxRuns, MAX_SAMPLES);
        long[] samples = new long[Math.max(16, Math.min(minRuns, most))];
        int count = 0;
        long spent = 0;
        while ((count < minRuns || spent < minMs * 1000000L) && spent < maxMs * 1000000L && count < most) {
            if (count == samples.length) {
                samples = Arrays.copyOf(samples, 2 * count);
            }
            samples[count] = once(engine);
            spent += samples[count++];
            if (watch.stop(count)) {
                throw new EngineException(EngineException.INTERRUPTED, "the app left the screen after " + count + " runs");
            }
        }
        return Arrays.copyOf(samples, count);
    }

    private long once(Engine engine) throws EngineException {
        long start = phone.nanos();
        engine.run();
        return Math.max(1, phone.nanos() - start);
    }
}
