package androidx.test.runner.intent;

/** Stands in for androidx.test. */
public final class IntentMonitorRegistry {
    private IntentMonitorRegistry() {}

    public static void registerInstance(IntentMonitor monitor) {}
}
