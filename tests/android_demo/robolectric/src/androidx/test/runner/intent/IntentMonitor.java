package androidx.test.runner.intent;

/** Stands in for androidx.test. */
public interface IntentMonitor {}
