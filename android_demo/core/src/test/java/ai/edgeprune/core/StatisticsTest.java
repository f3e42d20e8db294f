package ai.edgeprune.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import com.eclipsesource.json.JsonArray;
import com.eclipsesource.json.JsonObject;
import org.junit.Test;

public class StatisticsTest {
    @Test
    public void quantilesAreNumpys() throws Exception {
        JsonObject golden = Golden.json("statistics.json").asObject();
        JsonArray values = golden.get("values").asArray();
        long[] samples = new long[values.size()];
        for (int i = 0; i < samples.length; i++) {
            samples[i] = values.get(i).asLong();
        }
        Statistics found = new Statistics(samples);
        JsonArray points = golden.get("points").asArray();
        for (int i = 0; i < points.size(); i++) {
            double expected = golden.get("quantiles").asArray().get(i).asDouble();
            assertEquals(expected, found.quantile(points.get(i).asDouble()), 1e-9);
        }
    }

    @Test
    public void theHistogramHoldsEverySampleAndTheTailIsInItsLastBin() {
        Statistics found = new Statistics(new long[] {10, 11, 12, 13, 14, 15, 16, 17, 18, 1000});
        int[] bins = found.histogram(4);
        assertArrayEquals(new int[] {9, 0, 0, 1}, bins);
        assertArrayEquals(new int[] {3, 0}, new Statistics(new long[] {7, 7, 7}).histogram(2));
    }

    @Test(expected = IllegalArgumentException.class)
    public void noSamplesAreRefused() {
        new Statistics(new long[0]);
    }
}
