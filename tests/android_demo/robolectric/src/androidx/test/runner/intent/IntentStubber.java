package androidx.test.runner.intent;

import android.app.Instrumentation.ActivityResult;
import android.content.Intent;

/** Stands in for androidx.test. */
public interface IntentStubber {
    ActivityResult getActivityResultForIntent(Intent intent);
}
