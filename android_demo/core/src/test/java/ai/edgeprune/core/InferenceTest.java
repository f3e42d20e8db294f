package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.eclipsesource.json.JsonArray;
import com.eclipsesource.json.JsonObject;
import org.junit.Test;

/** From the bundle's picture files to classes, through the runtime itself, against Python's answers. */
public class InferenceTest {
    @Test
    public void bothNetworksAnswerWhatPythonHeard() throws Exception {
        ModelBundle bundle = ModelBundle.parse(Golden.text("bundle/bundle.json"));
        JsonObject answers = Golden.json("bundle/answers.json").asObject();
        for (String network : new String[] {"dense", "pruned"}) {
            JsonArray expected = answers.get(network).asArray();
            assertEquals(bundle.samples.size(), expected.size());
            Model model = bundle.model(network, Engine.LITERT);
            int right = 0;
            try (Engine engine = new JvmEngine(Golden.file("bundle/" + model.file), 1, "cpu")) {
                for (int i = 0; i < expected.size(); i++) {
                    ModelBundle.Sample sample = bundle.samples.get(i);
                    Pixels seen = bundle.preprocessing.fit(Golden.picture("bundle/" + sample.file));
                    engine.input(bundle.preprocessing.normalise(seen, model.channelsFirst));
                    engine.run();
                    float[] logits = engine.output();
                    float[] python = floats(expected.get(i).asArray());
                    Ranking best = Ranking.top(logits, bundle.labels, 3).get(0);
                    assertEquals(Ranking.top(python, bundle.labels, 3).get(0).label, best.label);
                    right += best.label.equals(sample.label) ? 1 : 0;
                    for (int k = 0; k < logits.length; k++) { // a picture's 8 bits are not quite the digit's 16 levels
                        assertEquals(network + ", " + sample.file, python[k], logits[k], 0.15);
                    }
                }
            }
            assertTrue(network + " has " + right + " right", network.equals("pruned") || right >= 9);
        }
    }

    private static float[] floats(JsonArray array) {
        float[] floats = new float[array.size()];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = array.get(i).asFloat();
        }
        return floats;
    }
}
