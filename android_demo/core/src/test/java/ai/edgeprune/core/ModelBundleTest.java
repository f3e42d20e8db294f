package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import org.junit.Test;

public class ModelBundleTest {
    private static JsonObject real() throws Exception {
        return Golden.json("bundle/bundle.json").asObject();
    }

    private static void refused(String text, String because) {
        try {
            ModelBundle.parse(text);
        } catch (BundleException error) {
            assertTrue(error.getMessage(), error.getMessage().contains(because));
            return;
        }
        fail("accepted: " + text);
    }

    @Test
    public void thePythonSidesBundleIsRead() throws Exception {
        ModelBundle bundle = ModelBundle.parse(real().toString());
        assertEquals(10, bundle.labels.size());
        assertEquals(10, bundle.samples.size());
        assertEquals(8, bundle.preprocessing.side);
        assertEquals(1, bundle.preprocessing.channels);
        assertTrue(bundle.preprocessing.appliesExif);
        Model pruned = bundle.model("pruned", Engine.LITERT);
        assertEquals(Golden.bytes("bundle/" + pruned.file).length, pruned.sizeBytes);
        assertTrue(pruned.sizeBytes < bundle.model("dense", Engine.LITERT).sizeBytes);
        assertNull(bundle.model("pruned", "coreml"));
    }

    @Test
    public void anUnknownPreprocessingIsNone() throws Exception {
        assertNull(ModelBundle.parse(real().set("preprocessing", Json.NULL).toString()).preprocessing);
    }

    @Test
    public void whatIsWrongIsSaid() throws Exception {
        refused("{\"schema\": 1, \"na", "broken");
        refused("[]", "instead of an object");
        refused(real().set("schema", 2).toString(), "schema 2");
        refused(real().remove("labels").toString(), "no field 'labels'");
        refused(real().set("models", Json.array()).toString(), "no model");
        refused(real().set("labels", Json.array(1, 2)).toString(), "instead of a text");
        JsonObject leaving = real();
        leaving.get("models").asArray().get(0).asObject().set("file", "../x.tflite");
        refused(leaving.toString(), "leaves the bundle");
        JsonObject other = real();
        other.get("preprocessing").asObject().get("resize").asObject().set("filter", "bicubic");
        refused(other.toString(), "bicubic");
        JsonObject zero = real();
        zero.get("preprocessing").asObject().set("std", Json.array(0));
        refused(zero.toString(), "not positive");
        JsonObject two = real();
        two.get("preprocessing").asObject().set("mean", Json.array(0.1, 0.2));
        refused(two.toString(), "2 numbers instead of 1");
    }
}
