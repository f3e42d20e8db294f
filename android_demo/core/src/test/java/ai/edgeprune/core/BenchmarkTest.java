package ai.edgeprune.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.Test;

public class BenchmarkTest {
    private static final Benchmark.Watch ON = new Benchmark.Watch() {
        @Override
        public boolean stop(int runs) {
            return false;
        }
    };

    /** A phone whose clock moves only when told. */
    private static class Clock implements Phone {
        long now;

        @Override
        public long nanos() {
            return now;
        }

        @Override
        public int thermalStatus() {
            return now == 0 ? 0 : 2;
        }

        @Override
        public int[] affinity() {
            return new int[] {0, 3};
        }

        @Override
        public long resetPeakKib() {
            return 1000;
        }

        @Override
        public long peakKib() {
            return 3048;
        }

        @Override
        public long pssKib() {
            return now < 25000000 ? 1024 : 5120; // the last run ends at 27 ms
        }
    }

    /** Takes 7 ms to load, 5 ms for the first run and then 1, 2, 3, ... ms. */
    private static final class Slow implements Engine, Engine.Factory {
        private final Clock clock;
        private int runs;

        Slow(Clock clock) {
            this.clock = clock;
        }

        @Override
        public Engine open(File model, String runtime, int threads, String delegate, int[][] shapes) {
            clock.now += 7000000;
            return this;
        }

        @Override
        public void run() {
            clock.now += runs == 0 ? 5000000 : runs * 1000000L;
            runs++;
        }

        @Override
        public void input(float[] numbers) {}

        @Override
        public void fill(Random random) {}

        @Override
        public float[] output() {
            return new float[0];
        }

        @Override
        public String version() {
            return "1";
        }

        @Override
        public String delegate() {
            return "xnnpack";
        }

        @Override
        public int threads() {
            return 1;
        }

        @Override
        public void close() {}
    }

    static Map<String, Object> extras(String model) {
        Map<String, Object> extras = new HashMap<>();
        extras.put("protocol", 1);
        extras.put("run_id", "a1-B_2");
        extras.put("model", model);
        extras.put("format", "litert");
        extras.put("threads", 1);
        extras.put("warmup_runs", 2);
        extras.put("warmup_ms", 0);
        extras.put("min_runs", 3);
        extras.put("min_ms", 0);
        extras.put("max_ms", 60000);
        return extras;
    }

    private static File model() {
        return Golden.file("bundle");
    }

    private static Measured measure(Map<String, Object> extras) throws Exception {
        Clock clock = new Clock();
        return new Benchmark(new Slow(clock), clock, ON).run(BenchmarkRequest.parse(extras), model());
    }

    private static void fails(String code, Map<String, Object> extras, Engine.Factory engines, Benchmark.Watch watch) {
        try {
            new Benchmark(engines, new Clock(), watch).run(BenchmarkRequest.parse(extras), model());
        } catch (EngineException error) {
            assertEquals(error.getMessage(), code, error.code);
            return;
        }
        fail("measured: " + extras);
    }

    @Test
    public void loadFirstRunWarmUpAndSamplesAreApart() throws Exception {
        Measured found = measure(extras("bundle.json"));
        assertEquals(7, found.loadMs, 0);
        assertEquals(5, found.firstMs, 0);
        assertArrayEquals(new long[] {3000000, 4000000, 5000000}, found.samples);
        assertEquals(2, found.peakMib, 0);
        assertEquals(5, found.pssMib, 0);
        assertEquals(0, found.thermalBefore);
        assertEquals(2, found.thermalAfter);
        assertArrayEquals(new int[] {0, 3}, found.affinity);
    }

    @Test
    public void bothMinimaAreReachedAndTheMaximumEnds() throws Exception {
        Map<String, Object> extras = extras("bundle.json");
        extras.put("warmup_ms", 5); // 1 + 2 ms of two runs are not enough: 3 more
        extras.put("min_ms", 20); // 4 + 5 + 6 = 15 of three runs: one more
        assertArrayEquals(new long[] {4000000, 5000000, 6000000, 7000000}, measure(extras).samples);
        extras.put("max_runs", 3);
        assertArrayEquals(new long[] {4000000, 5000000, 6000000}, measure(extras).samples);
        extras.put("max_ms", 9);
        assertArrayEquals(new long[] {4000000, 5000000}, measure(extras).samples);
    }

    @Test
    public void everyFailureHasItsCode() throws Exception {
        Engine.Factory slow = new Slow(new Clock());
        fails(EngineException.MODEL_MISSING, extras("none.tflite"), slow, ON);
        fails(EngineException.MODEL_UNREADABLE, extras("bundle.json"), JvmEngine.FACTORY, ON);
        Map<String, Object> leaving = extras("../x");
        fails(EngineException.BAD_REQUEST, leaving, slow, ON);
        Map<String, Object> newer = extras("bundle.json");
        newer.put("protocol", 2);
        fails(EngineException.BAD_REQUEST, newer, slow, ON);
        Map<String, Object> none = extras("bundle.json");
        none.remove("threads");
        fails(EngineException.BAD_REQUEST, none, slow, ON);
        Map<String, Object> odd = extras("bundle.json");
        odd.put("shapes", "1,3,x");
        fails(EngineException.BAD_REQUEST, odd, slow, ON);
        Map<String, Object> gpu = extras("pruned.tflite");
        gpu.put("delegate", "gpu");
        fails(EngineException.DELEGATE, gpu, JvmEngine.FACTORY, ON);
        fails(EngineException.OUT_OF_MEMORY, extras("bundle.json"), new Engine.Factory() {
            @Override
            public Engine open(File model, String runtime, int threads, String delegate, int[][] shapes) {
                throw new OutOfMemoryError("64 MiB");
            }
        }, ON);
        fails(EngineException.INTERRUPTED, extras("bundle.json"), slow, new Benchmark.Watch() {
            @Override
            public boolean stop(int runs) {
                return runs == 2;
            }
        });
    }

    @Test
    public void anUnsafeRunIdNamesNoFile() {
        Map<String, Object> extras = extras("bundle.json");
        for (Object id : new Object[] {"../../x", "", null, 7, "a b"}) {
            extras.put("run_id", id);
            try {
                BenchmarkRequest.runId(extras);
                fail("accepted " + id);
            } catch (EngineException error) {
                assertEquals(EngineException.BAD_REQUEST, error.code);
            }
        }
    }

    /** Leaves replies of a real measurement and of a failure, which Python validates with its own schema. */
    @Test
    public void repliesAreLeftForPython() throws Exception {
        File folder = Golden.file("replies");
        Phone process = new Clock() {
            @Override
            public long nanos() {
                return System.nanoTime();
            }
        };
        Benchmark benchmark = new Benchmark(JvmEngine.FACTORY, process, ON);
        BenchmarkRequest request = BenchmarkRequest.parse(extras("pruned.tflite"));
        Measured found = benchmark.run(request, model());
        write(new File(folder, "ok.json"), Reply.of(request.runId, "0.1.0", found));
        found.peakMib = -1;
        found.pssMib = -1;
        found.thermalBefore = -1;
        write(new File(folder, "unknown.json"), Reply.of(request.runId, "0.1.0", found));
        for (java.lang.reflect.Field code : EngineException.class.getFields()) {
            if (code.getType() == String.class && java.lang.reflect.Modifier.isStatic(code.getModifiers())) {
                EngineException error = new EngineException((String) code.get(null), "a \"quoted\" reason\n");
                write(new File(folder, code.getName() + ".json"), Reply.of("r", "0.1.0", error));
            }
        }
        assertTrue(found.samples.length >= 3);
    }

    private static void write(File file, String text) throws Exception {
        Files.createDirectories(file.getParentFile().toPath());
        Files.write(file.toPath(), text.getBytes(StandardCharsets.UTF_8));
    }
}
