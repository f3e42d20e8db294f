package ai.edgeprune.core;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** What Linux tells of this process below /proc/self. */
public final class ProcessFiles {
    private final File folder;

    /** `folder` is /proc/self but in tests. */
    public ProcessFiles(File folder) {
        this.folder = folder;
    }

    /** A field of status in KiB ("VmHWM", "VmRSS"), -1 where it is not told. */
    public long kib(String field) {
        String value = status(field);
        return value == null ? -1 : Long.parseLong(value.replaceAll("[^0-9]", ""));
    }

    /** The cores that this process may run on; none where it is not told. */
    public int[] affinity() {
        String value = status("Cpus_allowed_list");
        java.util.List<Integer> cores = new java.util.ArrayList<>();
        for (String part : value == null ? new String[0] : value.split(",")) {
            String[] ends = part.trim().split("-");
            for (int core = Integer.parseInt(ends[0]); core <= Integer.parseInt(ends[ends.length - 1]); core++) {
                cores.add(core);
            }
        }
        int[] found = new int[cores.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = cores.get(i);
        }
        return found;
    }

    /** Reset the watermark VmHWM; false where the kernel does not let us. */
    public boolean resetPeak() {
        try (OutputStream file = new FileOutputStream(new File(folder, "clear_refs"))) {
            file.write('5');
            return true;
        } catch (IOException refused) {
            return false;
        }
    }

    private String status(String field) {
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(
                new FileInputStream(new File(folder, "status")), StandardCharsets.US_ASCII))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith(field + ":")) {
                    return line.substring(field.length() + 1).trim();
                }
            }
        } catch (IOException unreadable) {
            return null;
        }
        return null;
    }
}
