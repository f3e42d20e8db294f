package ai.edgeprune.core;

/** What a benchmark found. Times in ms, samples in ns. */
public final class Measured {
    public double loadMs;
    public double firstMs;
    public long[] samples;
    public String runtime;
    public String version;
    public int threads;
    public String delegate;
    public int[] affinity;
    /** Growth of the peak of resident memory, MiB; negative where it is not known. */
    public double peakMib;
    /** PSS of the process after the last run, the model still loaded, MiB; negative where it is not known. */
    public double pssMib;
    /** Android's thermal status, 0 to 6; negative where it is not known. */
    public int thermalBefore;
    public int thermalAfter;
}
