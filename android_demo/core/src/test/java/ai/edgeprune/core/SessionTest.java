package ai.edgeprune.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.Test;

public class SessionTest {
    private static List<ModelBundle> bundles(String... names) throws Exception {
        ModelBundle[] bundles = new ModelBundle[names.length];
        for (int i = 0; i < names.length; i++) {
            String text = Golden.json("bundle/bundle.json").asObject().set("name", names[i]).toString();
            bundles[i] = ModelBundle.parse(text);
        }
        return Arrays.asList(bundles);
    }

    @Test
    public void choicesSurviveTheDeathOfTheProcess() throws Exception {
        Session before = new Session(bundles("a", "b"));
        before.chooseBundle(1);
        before.chooseThreads(2);
        before.chooseSample(4);
        Session after = Session.restore(bundles("a", "b"), before.save());
        assertEquals("b", after.bundle().name);
        assertEquals(4, after.threads());
        assertEquals("4", after.sample().label);
        after.choosePicture("content://x");
        assertNull(after.sample());
        assertEquals("content://x", Session.restore(bundles("b"), after.save()).picture());
    }

    @Test
    public void whatIsGoneFallsBackToTheFirst() throws Exception {
        Session before = new Session(bundles("a", "b"));
        before.chooseBundle(1);
        before.chooseSample(7);
        Session after = Session.restore(bundles("a"), before.save());
        assertEquals("a", after.bundle().name);
        assertEquals("0", after.sample().label);
        for (String broken : new String[] {null, "", "{", "[1]", "{\"bundle\": 7}", "{\"threads\": \"x\"}"}) {
            assertEquals(1, Session.restore(bundles("a"), broken).threads());
        }
    }

    @Test
    public void samplesGoRoundAndLeaveTheGallery() throws Exception {
        Session session = new Session(bundles("a"));
        for (int i = 0; i < 10; i++) {
            assertEquals(String.valueOf(i), session.sample().label);
            session.nextSample();
        }
        assertEquals("0", session.sample().label);
        session.choosePicture("content://x");
        session.nextSample();
        assertEquals("0", session.sample().label);
    }

    @Test
    public void theCameraSurvivesAndIsLeftForPictures() throws Exception {
        Session session = new Session(bundles("a"));
        session.nextSample();
        session.chooseLive(true);
        assertTrue(Session.restore(bundles("a"), session.save()).live());
        session.nextSample();
        assertFalse(session.live());
        assertEquals("back to the sample before", "1", session.sample().label);
        session.chooseLive(true);
        session.choosePicture("content://x");
        assertFalse(Session.restore(bundles("a"), session.save()).live());
    }

    @Test
    public void withoutABundleThereIsStillASession() {
        Session session = new Session(Collections.<ModelBundle>emptyList());
        assertNull(session.bundle());
        assertNull(Session.restore(Collections.<ModelBundle>emptyList(), session.save()).bundle());
    }

    @Test
    public void aColumnShowsTimesAnswersAndFailures() throws Exception {
        ModelBundle bundle = bundles("a").get(0);
        Column column = new Column(bundle.model("dense", Engine.LITERT));
        String size = column.describe();
        column.answered(new float[] {0, 9, 1, 0, 0, 0, 0, 0, 0, 0}, bundle.labels, 2000000);
        column.answered(new float[] {0, 9, 1, 0, 0, 0, 0, 0, 0, 0}, bundle.labels, 4000000);
        assertEquals("4.000 ms now, median 3.000 of 2\n" + size, column.describe());
        assertEquals("1", column.top().get(0).label);
        column.failed(new EngineException(EngineException.VERSION, "too old"));
        assertEquals(size + "\ntoo old", column.describe());
        assertEquals(0, column.top().size());
    }
}
