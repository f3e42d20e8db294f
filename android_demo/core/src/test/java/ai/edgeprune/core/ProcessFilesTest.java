package ai.edgeprune.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.file.Files;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class ProcessFilesTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void whatLinuxTellsIsRead() throws Exception {
        String status = "Name:\tx\nVmHWM:\t   2048 kB\nCpus_allowed:\tff\nCpus_allowed_list:\t0-2,5,7-8\n";
        Files.write(new File(folder.getRoot(), "status").toPath(), status.getBytes("US-ASCII"));
        ProcessFiles process = new ProcessFiles(folder.getRoot());
        assertEquals(2048, process.kib("VmHWM"));
        assertEquals(-1, process.kib("VmRSS"));
        assertArrayEquals(new int[] {0, 1, 2, 5, 7, 8}, process.affinity());
        assertTrue(process.resetPeak());
        ProcessFiles none = new ProcessFiles(new File(folder.getRoot(), "none"));
        assertEquals(-1, none.kib("VmHWM"));
        assertEquals(0, none.affinity().length);
        assertFalse(none.resetPeak());
    }

    @Test
    public void aBenchmarkThatWasCutShortIsToldOnce() throws Exception {
        Results results = new Results(folder.getRoot());
        assertNull(results.cutShort());
        results.begin("one");
        results.finish("one", "{}");
        assertArrayEquals(new String[] {"one.json"}, new File(folder.getRoot(), "benchmark").list());
        results.begin("two");
        assertEquals("two", results.cutShort());
        assertNull(results.cutShort());
    }
}
