package androidx.test.internal.runner.intent;

import androidx.test.runner.intent.IntentMonitor;

/** Stands in for androidx.test. */
public final class IntentMonitorImpl implements IntentMonitor {
    public void signalIntent(android.content.Intent intent) {}
}
