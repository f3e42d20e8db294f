package ai.edgeprune.core;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** The folder of a benchmark's answers. A file is there whole or not at all; one ending in .started was cut short. */
public final class Results {
    private static final String STARTED = ".started";

    private final File folder;

    /** Below the app's own `files`. */
    public Results(File files) {
        folder = new File(files, "benchmark");
    }

    /** Note that a benchmark begins. */
    public void begin(String runId) throws IOException {
        write(runId + STARTED, "");
    }

    /** Keep its answer. */
    public void finish(String runId, String json) throws IOException {
        write(runId + ".json", json);
        delete(runId + STARTED);
    }

    /** The run id of a benchmark during which the process died, or null; it is told once. */
    public String cutShort() {
        String[] names = folder.list();
        for (String name : names == null ? new String[0] : names) {
            if (name.endsWith(STARTED)) {
                delete(name);
                return name.substring(0, name.length() - STARTED.length());
            }
        }
        return null;
    }

    private void write(String name, String text) throws IOException {
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("no folder " + folder);
        }
        File partial = new File(folder, "." + name);
        try (OutputStream file = new FileOutputStream(partial)) {
            file.write(text.getBytes(StandardCharsets.UTF_8));
        }
        if (!partial.renameTo(new File(folder, name))) {
            throw new IOException("cannot write " + name);
        }
    }

    private void delete(String name) {
        new File(folder, name).delete();
    }
}
