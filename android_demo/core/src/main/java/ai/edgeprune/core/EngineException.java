package ai.edgeprune.core;

/** Why a model could not be loaded or run. `code` is one of docs/benchmark-protocol.md. */
public final class EngineException extends Exception {
    public static final String BAD_REQUEST = "bad_request";
    public static final String MODEL_MISSING = "model_missing";
    public static final String MODEL_UNREADABLE = "model_unreadable";
    public static final String VERSION = "version";
    public static final String DELEGATE = "delegate";
    public static final String OUT_OF_MEMORY = "out_of_memory";
    public static final String INTERRUPTED = "interrupted";
    public static final String INTERNAL = "internal";

    private static final long serialVersionUID = 1;

    public final String code;

    public EngineException(String code, String message) {
        super(message);
        this.code = code;
    }

    /** The failure as one with a code: what is none yet is out of memory, or our bug. */
    public static EngineException of(Throwable failure) {
        if (failure instanceof EngineException) {
            return (EngineException) failure;
        }
        String message = failure.getClass().getSimpleName() + ": " + failure.getMessage();
        return new EngineException(failure instanceof OutOfMemoryError ? OUT_OF_MEMORY : INTERNAL, message);
    }
}
