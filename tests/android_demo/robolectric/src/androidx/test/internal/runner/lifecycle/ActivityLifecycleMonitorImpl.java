package androidx.test.internal.runner.lifecycle;

import androidx.test.runner.lifecycle.Stage;
import androidx.test.runner.lifecycle.ActivityLifecycleMonitor;

/** Stands in for androidx.test. */
public final class ActivityLifecycleMonitorImpl implements ActivityLifecycleMonitor {
    public void signalLifecycleChange(Stage stage, android.app.Activity activity) {}
}
