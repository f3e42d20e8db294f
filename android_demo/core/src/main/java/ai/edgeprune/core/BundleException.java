package ai.edgeprune.core;

/** A bundle that this app cannot use. The message says what was found. */
public final class BundleException extends Exception {
    private static final long serialVersionUID = 1;

    public BundleException(String message) {
        super(message);
    }
}
