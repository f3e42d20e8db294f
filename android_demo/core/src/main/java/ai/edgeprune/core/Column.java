package ai.edgeprune.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** One network on the main screen: what it answers and how long it takes. */
public final class Column {
    private static final int KEPT = 50;

    private final Model model;
    private final List<Long> nanos = new ArrayList<>();
    private List<Ranking> top = new ArrayList<>();
    private String failure = "";

    public Column(Model model) {
        this.model = model;
    }

    /** An answer, and the ns it took. */
    public void answered(float[] output, List<String> labels, long took) {
        top = Ranking.top(output, labels, 3);
        failure = "";
        nanos.add(took);
        if (nanos.size() > KEPT) {
            nanos.remove(0);
        }
    }

    /** No answer, and why. */
    public void failed(Throwable error) {
        failure = EngineException.of(error).getMessage();
        top = new ArrayList<>();
    }

    /** The three most likely classes; empty before the first answer and after a failure. */
    public List<Ranking> top() {
        return top;
    }

    /** Time now and median, size and precision, or the failure. */
    public String describe() {
        String size = String.format(Locale.ROOT, "%.2f MB, %s", model.sizeBytes / 1e6, model.precision);
        if (!failure.isEmpty()) {
            return size + "\n" + failure;
        }
        if (nanos.isEmpty()) {
            return size;
        }
        long[] samples = new long[nanos.size()];
        for (int i = 0; i < samples.length; i++) {
            samples[i] = nanos.get(i);
        }
        double now = samples[samples.length - 1] / 1e6;
        double median = new Statistics(samples).median() / 1e6;
        return String.format(Locale.ROOT, "%.3f ms now, median %.3f of %d\n%s", now, median, samples.length, size);
    }
}
