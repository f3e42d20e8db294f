package ai.edgeprune.core;

import java.util.Map;

/** What adb asks the app to measure: the intent's extras (docs/benchmark-protocol.md). */
public final class BenchmarkRequest {
    public static final int PROTOCOL = 1;

    public final String runId;
    /** Relative to the app's files. */
    public final String model;
    public final String runtime;
    public final String delegate;
    /** Of the inputs, in order; empty if not told. */
    public final int[][] shapes;
    public final int threads;
    public final int warmupRuns;
    public final int warmupMs;
    public final int minRuns;
    public final int maxRuns;
    public final int minMs;
    public final int maxMs;

    private BenchmarkRequest(Map<String, ?> extras) throws EngineException {
        int protocol = number(extras, "protocol", 0);
        if (protocol != PROTOCOL) {
            throw refuse("asked for protocol " + protocol + ", this app speaks " + PROTOCOL);
        }
        runId = runId(extras);
        model = text(extras, "model");
        runtime = text(extras, "format");
        delegate = extras.containsKey("delegate") ? text(extras, "delegate") : "cpu";
        shapes = extras.containsKey("shapes") ? shapes(text(extras, "shapes")) : new int[0][];
        threads = number(extras, "threads", 1);
        warmupRuns = number(extras, "warmup_runs", 0);
        warmupMs = number(extras, "warmup_ms", 0);
        minRuns = number(extras, "min_runs", 1);
        maxRuns = extras.containsKey("max_runs") ? number(extras, "max_runs", 1) : Benchmark.MAX_SAMPLES;
        minMs = number(extras, "min_ms", 0);
        maxMs = number(extras, "max_ms", 1);
        if (model.startsWith("/") || model.contains("..")) {
            throw refuse("model '" + model + "' leaves the app's files");
        }
    }

    /** Read the extras. Throws EngineException (bad_request) for anything missing or out of range. */
    public static BenchmarkRequest parse(Map<String, ?> extras) throws EngineException {
        return new BenchmarkRequest(extras);
    }

    /** The run id alone, which names the file of the answer. Throws EngineException if it cannot name one. */
    public static String runId(Map<String, ?> extras) throws EngineException {
        String found = text(extras, "run_id");
        if (!found.matches("[0-9A-Za-z_-]{1,64}")) {
            throw refuse("run_id '" + found + "' is not 1 to 64 letters, digits, _ or -");
        }
        return found;
    }

    private static String text(Map<String, ?> extras, String name) throws EngineException {
        Object value = extras.get(name);
        if (!(value instanceof String) || ((String) value).isEmpty()) {
            throw refuse("extra " + name + " is " + value + " instead of a text");
        }
        return (String) value;
    }

    private static int[][] shapes(String text) throws EngineException {
        String[] inputs = text.split(";");
        int[][] shapes = new int[inputs.length][];
        for (int i = 0; i < inputs.length; i++) {
            String[] sizes = inputs[i].split(",");
            shapes[i] = new int[sizes.length];
            for (int k = 0; k < sizes.length; k++) {
                if (!sizes[k].matches("[1-9][0-9]{0,7}")) {
                    throw refuse("extra shapes '" + text + "' is not like 1,3,224,224;1,10");
                }
                shapes[i][k] = Integer.parseInt(sizes[k]);
            }
        }
        return shapes;
    }

    private static int number(Map<String, ?> extras, String name, int least) throws EngineException {
        Object value = extras.get(name);
        if (!(value instanceof Integer) || (Integer) value < least) {
            throw refuse("extra " + name + " is " + value + " instead of a whole number from " + least + " on");
        }
        return (Integer) value;
    }

    private static EngineException refuse(String message) {
        return new EngineException(EngineException.BAD_REQUEST, message);
    }
}
