package androidx.test.internal.runner.lifecycle;

import androidx.test.runner.lifecycle.ApplicationStage;
import androidx.test.runner.lifecycle.ApplicationLifecycleMonitor;

/** Stands in for androidx.test. */
public final class ApplicationLifecycleMonitorImpl implements ApplicationLifecycleMonitor {
    public void signalLifecycleChange(android.app.Application application, ApplicationStage stage) {}
}
