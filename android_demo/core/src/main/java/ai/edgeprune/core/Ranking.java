package ai.edgeprune.core;

import java.util.ArrayList;
import java.util.List;

/** The most likely classes of an output. */
public final class Ranking {
    public final int index;
    public final String label;
    /** Softmax, 0 to 1. */
    public final double probability;

    private Ranking(int index, String label, double probability) {
        this.index = index;
        this.label = label;
        this.probability = probability;
    }

    /** The `count` classes of largest output, largest first; of equal ones the first. Logits (classes). */
    public static List<Ranking> top(float[] logits, List<String> labels, int count) {
        double largest = Double.NEGATIVE_INFINITY;
        for (float logit : logits) {
            if (Float.isNaN(logit)) {
                throw new IllegalArgumentException("the network answered NaN");
            }
            largest = Math.max(largest, logit);
        }
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit - largest);
        }
        boolean[] taken = new boolean[logits.length];
        List<Ranking> top = new ArrayList<>();
        while (top.size() < Math.min(count, logits.length)) {
            int best = -1;
            for (int i = 0; i < logits.length; i++) {
                if (!taken[i] && (best < 0 || logits[i] > logits[best])) {
                    best = i;
                }
            }
            taken[best] = true;
            String label = best < labels.size() ? labels.get(best) : "class " + best;
            top.add(new Ranking(best, label, Math.exp(logits[best] - largest) / sum));
        }
        return top;
    }
}
