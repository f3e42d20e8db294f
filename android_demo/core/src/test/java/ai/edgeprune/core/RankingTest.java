package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;

import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public class RankingTest {
    private static final List<String> LABELS = Arrays.asList("a", "b", "c");

    @Test
    public void largestFirstAndOfEqualOnesTheFirst() {
        float log2 = (float) Math.log(2);
        List<Ranking> top = Ranking.top(new float[] {0, log2, 0, -1000}, LABELS, 3);
        assertEquals(Arrays.asList("b", "a", "c"), Arrays.asList(top.get(0).label, top.get(1).label, top.get(2).label));
        assertEquals(0.5, top.get(0).probability, 1e-6);
        assertEquals(0.25, top.get(1).probability, 1e-6);
    }

    @Test
    public void largeLogitsDoNotOverflowAndMissingLabelsAreNumbered() {
        List<Ranking> top = Ranking.top(new float[] {1e6f, 0, 0, 2e6f}, LABELS, 9);
        assertEquals(4, top.size());
        assertEquals("class 3", top.get(0).label);
        assertEquals(1, top.get(0).probability, 1e-12);
    }

    @Test(expected = IllegalArgumentException.class)
    public void notANumberIsNoAnswer() {
        Ranking.top(new float[] {1, Float.NaN}, LABELS, 3);
    }
}
