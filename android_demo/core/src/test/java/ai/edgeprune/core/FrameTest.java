package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import org.junit.Test;

public class FrameTest {
    @Test
    public void colourOfEveryLayoutIsWithinALevelOfPillows() throws Exception {
        int layouts = 0;
        for (JsonValue value : Golden.json("frames/cases.json").asArray()) {
            JsonObject layout = value.asObject();
            String stem = "frames/" + layout.getString("file", null);
            Pixels found = Frame.rgb(layout.getInt("width", 0), layout.getInt("height", 0),
                    Golden.bytes(stem + ".y"), layout.getInt("luma_row", 0), Golden.bytes(stem + ".u"),
                    Golden.bytes(stem + ".v"), layout.getInt("chroma_row", 0), layout.getInt("chroma_step", 0));
            byte[] expected = Golden.bytes("frames/rgb");
            assertEquals(expected.length, found.values.length);
            for (int i = 0; i < expected.length; i++) {
                int off = Math.abs((expected[i] & 0xff) - (found.values[i] & 0xff));
                assertTrue(stem + " is " + off + " levels off at " + i, off <= 1);
            }
            layouts++;
        }
        assertEquals(2, layouts);
    }

    @Test
    public void aFrameIsTurnedByTheSensorAgainstTheScreen() {
        assertEquals("most phones, held upright", 6, Frame.orientation(90, 0, false));
        assertEquals("turned to the left", 1, Frame.orientation(90, 90, false));
        assertEquals("turned to the right", 3, Frame.orientation(90, 270, false));
        assertEquals("a sensor the other way round", 8, Frame.orientation(270, 0, false));
        assertEquals("most front cameras, held upright", 8, Frame.orientation(270, 0, true));
        assertEquals("and turned to the left", 1, Frame.orientation(270, 90, true));
    }
}
