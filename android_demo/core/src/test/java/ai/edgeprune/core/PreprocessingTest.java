package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import org.junit.Test;

public class PreprocessingTest {
    private static final double ONE_LEVEL = 1 / 255.0;

    @Test
    public void everyPictureIsWhatPythonMakesOfIt() throws Exception {
        int pictures = 0;
        for (JsonValue value : Golden.json("pictures/cases.json").asArray()) {
            JsonObject expected = value.asObject();
            String name = expected.getString("name", null);
            String stem = "pictures/" + expected.getString("file", null);
            Preprocessing how = new Preprocessing(expected.get("preprocessing").asObject());
            Pixels picture = Orientation.upright(Golden.picture(stem + ".png"), expected.getInt("orientation", 0));
            Pixels seen = how.fit(picture);
            byte[] levels = Golden.bytes(stem + ".levels");
            assertEquals(name, levels.length, seen.values.length);
            for (int i = 0; i < levels.length; i++) {
                assertEquals(name + " at " + i, levels[i] & 0xff, seen.values[i] & 0xff);
            }
            compare(name, Golden.floats(stem + ".numbers"), how.normalise(seen, true));
            pictures++;
        }
        assertTrue(pictures + " pictures", pictures >= 16);
    }

    @Test
    public void channelsLastIsThePermutationOfChannelsFirst() throws Exception {
        JsonObject first = Golden.json("pictures/cases.json").asArray().get(0).asObject();
        Preprocessing how = new Preprocessing(first.get("preprocessing").asObject());
        Pixels seen = how.fit(Golden.picture("pictures/" + first.getString("file", null) + ".png"));
        float[] chw = how.normalise(seen, true);
        float[] hwc = how.normalise(seen, false);
        int area = how.side * how.side;
        for (int i = 0; i < chw.length; i++) {
            assertEquals(chw[i], hwc[i % area * 3 + i / area], 0);
        }
    }

    private static void compare(String name, float[] expected, float[] found) {
        assertEquals(name, expected.length, found.length);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(name + " at " + i, expected[i], found[i], ONE_LEVEL / 1000);
        }
    }
}
