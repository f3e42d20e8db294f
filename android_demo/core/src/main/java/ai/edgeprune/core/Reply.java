package ai.edgeprune.core;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonArray;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;

/** The JSON that a benchmark leaves (docs/benchmark-protocol.md; its schema is in profilers/android/app.py). */
public final class Reply {
    private Reply() {}

    /** For a benchmark that measured. */
    public static String of(String runId, String appVersion, Measured found) {
        JsonArray samples = new JsonArray();
        for (long sample : found.samples) {
            samples.add(sample);
        }
        JsonArray affinity = new JsonArray();
        for (int core : found.affinity) {
            affinity.add(core);
        }
        return head(runId, appVersion, "ok")
                .add("load_ms", found.loadMs)
                .add("first_ms", found.firstMs)
                .add("samples_ns", samples)
                .add("runtime", found.runtime)
                .add("runtime_version", found.version)
                .add("threads", found.threads)
                .add("delegate", found.delegate)
                .add("affinity", affinity)
                .add("peak_mib", known(found.peakMib))
                .add("pss_mib", known(found.pssMib))
                .add("thermal_before", known(found.thermalBefore))
                .add("thermal_after", known(found.thermalAfter))
                .toString();
    }

    /** For one that could not. */
    public static String of(String runId, String appVersion, EngineException failure) {
        JsonObject error = Json.object().add("code", failure.code).add("message", String.valueOf(failure.getMessage()));
        return head(runId, appVersion, "error").add("error", error).toString();
    }

    private static JsonObject head(String runId, String appVersion, String status) {
        return Json.object()
                .add("protocol", BenchmarkRequest.PROTOCOL)
                .add("run_id", runId)
                .add("app_version", appVersion)
                .add("status", status);
    }

    private static JsonValue known(int status) {
        return status < 0 ? Json.NULL : Json.value(status);
    }

    private static JsonValue known(double mib) {
        return mib < 0 ? Json.NULL : Json.value(mib);
    }
}
