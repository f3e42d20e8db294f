package ai.edgeprune.core;

/** What a benchmark asks the phone. */
public interface Phone {
    /** Monotonic, ns. */
    long nanos();

    /** Android's thermal status, 0 to 6, or -1 where it is not known. */
    int thermalStatus();

    /** The cores that this process may run on. */
    int[] affinity();

    /** Forget the peak of this process's memory; returns the level now in KiB, -1 where it is not known. */
    long resetPeakKib();

    /** The peak of resident memory since `resetPeakKib`, KiB, -1 where it is not known. */
    long peakKib();

    /** This process's share of memory now (PSS), KiB, -1 where it is not known. */
    long pssKib();
}
