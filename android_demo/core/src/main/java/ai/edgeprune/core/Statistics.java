package ai.edgeprune.core;

import java.util.Arrays;

/** Percentiles and a histogram of samples. Nothing is dropped. */
public final class Statistics {
    private final long[] sorted;

    /** `samples` in any unit; at least one. */
    public Statistics(long[] samples) {
        if (samples.length == 0) {
            throw new IllegalArgumentException("no samples");
        }
        sorted = samples.clone();
        Arrays.sort(sorted);
    }

    /** The quantile q of 0 to 1, linear between samples as numpy.quantile. */
    public double quantile(double q) {
        double place = q * (sorted.length - 1);
        int below = (int) Math.floor(place);
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }

    public double median() {
        return quantile(0.5);
    }

    public int count() {
        return sorted.length;
    }

    /** How many samples fall into each of equal bins from the smallest to the 99th percentile; the last takes the rest. */
    public int[] histogram(int bins) {
        int[] counts = new int[bins];
        double low = sorted[0];
        double width = (quantile(0.99) - low) / bins;
        for (long sample : sorted) {
            int bin = width > 0 ? (int) ((sample - low) / width) : 0;
            counts[Math.min(bin, bins - 1)]++;
        }
        return counts;
    }
}
