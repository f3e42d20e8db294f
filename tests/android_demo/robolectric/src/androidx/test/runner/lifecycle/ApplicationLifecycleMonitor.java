package androidx.test.runner.lifecycle;

/** Stands in for androidx.test. */
public interface ApplicationLifecycleMonitor {}
