package ai.edgeprune.demo;

import ai.edgeprune.core.Phone;
import ai.edgeprune.core.ProcessFiles;
import android.content.Context;
import android.os.Build;
import android.os.Debug;
import android.os.PowerManager;
import java.io.File;

/** This phone. */
final class AndroidPhone implements Phone {
    private final PowerManager power;
    private final ProcessFiles process = new ProcessFiles(new File("/proc/self"));

    AndroidPhone(Context context) {
        power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
    }

    @Override
    public long nanos() {
        return System.nanoTime();
    }

    @Override
    public int thermalStatus() {
        return Build.VERSION.SDK_INT >= 29 ? power.getCurrentThermalStatus() : -1;
    }

    @Override
    public int[] affinity() {
        return process.affinity();
    }

    @Override
    public long resetPeakKib() {
        return process.resetPeak() ? process.kib("VmRSS") : -1;
    }

    @Override
    public long peakKib() {
        return process.kib("VmHWM");
    }

    @Override
    public long pssKib() {
        long share = Debug.getPss();
        return share > 0 ? share : -1;
    }
}
