package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonArray;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.Test;

/** What the profiler's Python asks with `am start`, read by the app; what was read is left for Python to compare. */
public class RequestTest {
    @Test
    public void everyRequestOfTheProfilerIsUnderstood() throws Exception {
        JsonObject understood = Json.object();
        for (JsonObject.Member asked : Golden.json("requests.json").asObject()) {
            understood.add(asked.getName(), fields(BenchmarkRequest.parse(extras(asked.getValue().asArray()))));
        }
        assertTrue(understood.size() >= 3);
        Files.write(Golden.file("understood.json").toPath(), understood.toString().getBytes(StandardCharsets.UTF_8));
    }

    @Test
    public void withoutOneOfItsWordsItIsRefusedOrMeansTheDefault() throws Exception {
        JsonArray words = Golden.json("requests.json").asObject().get("executorch").asArray();
        int refused = 0;
        for (String name : extras(words).keySet()) {
            Map<String, Object> fewer = extras(words);
            fewer.remove(name);
            try {
                BenchmarkRequest.parse(fewer);
                assertTrue(name, Arrays.asList("delegate", "shapes", "cores", "max_runs").contains(name));
            } catch (EngineException error) {
                assertEquals(EngineException.BAD_REQUEST, error.code);
                refused++;
            }
        }
        assertEquals(10, refused);
    }

    /** The extras as Android's `am` makes them: --es a text, --ei a whole number. */
    private static Map<String, Object> extras(JsonArray words) {
        Map<String, Object> extras = new HashMap<>();
        for (int i = 0; i < words.size(); i += 3) {
            String value = words.get(i + 2).asString();
            assertTrue(words.get(i).asString().matches("--e[si]"));
            boolean number = words.get(i).asString().equals("--ei");
            extras.put(words.get(i + 1).asString(), number ? (Object) Integer.valueOf(value) : value);
        }
        return extras;
    }

    private static JsonValue fields(BenchmarkRequest request) {
        JsonArray shapes = new JsonArray();
        for (int[] shape : request.shapes) {
            shapes.add(Json.array(shape));
        }
        return Json.object().add("run_id", request.runId).add("model", request.model).add("format", request.runtime)
                .add("delegate", request.delegate).add("shapes", shapes).add("threads", request.threads)
                .add("warmup_runs", request.warmupRuns).add("warmup_ms", request.warmupMs)
                .add("min_runs", request.minRuns).add("max_runs", request.maxRuns).add("min_ms", request.minMs).add("max_ms", request.maxMs);
    }
}
