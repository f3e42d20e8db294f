package ai.edgeprune.core;

/** What all engines have in common: XNNPACK computes, on the CPU, with as many threads as were asked for. */
public abstract class CpuEngine implements Engine {
    private static final String DELEGATE = "xnnpack";

    private final String version;
    private final int threads;

    /** Throws EngineException for another delegate than "cpu", or its own name. */
    protected CpuEngine(String runtime, String version, int threads, String delegate) throws EngineException {
        if (!delegate.equals("cpu") && !delegate.equals(DELEGATE)) {
            throw new EngineException(EngineException.DELEGATE,
                    "this app has no delegate " + delegate + " for " + runtime);
        }
        this.version = version;
        this.threads = threads;
    }

    @Override
    public final String version() {
        return version;
    }

    @Override
    public final String delegate() {
        return DELEGATE;
    }

    @Override
    public final int threads() {
        return threads;
    }
}
