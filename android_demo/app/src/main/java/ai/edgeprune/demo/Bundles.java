package ai.edgeprune.demo;

import ai.edgeprune.core.BundleException;
import ai.edgeprune.core.ModelBundle;
import android.content.Context;
import android.content.SharedPreferences;
import android.content.pm.PackageManager;
import android.content.res.AssetManager;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The bundles that came with the app: copied once from its assets to its files, where every runtime can open them. */
final class Bundles {
    private static final String FOLDER = "bundles";

    /** Of each usable bundle; in step with `folders`. */
    final List<ModelBundle> bundles = new ArrayList<>();
    final List<File> folders = new ArrayList<>();
    /** What is wrong with the others, in words. */
    final List<String> broken = new ArrayList<>();

    Bundles(Context context) throws IOException {
        File root = new File(context.getFilesDir(), FOLDER);
        unpack(context, root);
        File[] found = root.listFiles();
        Arrays.sort(found == null ? new File[0] : found);
        for (File folder : found == null ? new File[0] : found) {
            try (InputStream file = new FileInputStream(new File(folder, ModelBundle.FILE))) {
                bundles.add(ModelBundle.parse(read(file)));
                folders.add(folder);
            } catch (BundleException | IOException error) {
                broken.add(folder.getName() + ": " + error.getMessage());
            }
        }
    }

    private static void unpack(Context context, File root) throws IOException {
        SharedPreferences state = context.getSharedPreferences(FOLDER, Context.MODE_PRIVATE);
        long installed;
        try {
            installed = context.getPackageManager().getPackageInfo(context.getPackageName(), 0).lastUpdateTime;
        } catch (PackageManager.NameNotFoundException impossible) {
            throw new IOException(impossible);
        }
        if (state.getLong("unpacked", -1) == installed) {
            return;
        }
        remove(root);
        if (context.getAssets().list(FOLDER).length > 0) { // else an app without bundles
            copy(context.getAssets(), FOLDER, root);
        }
        state.edit().putLong("unpacked", installed).apply();
    }

    private static void copy(AssetManager assets, String from, File to) throws IOException {
        String[] names = assets.list(from);
        for (String name : names == null ? new String[0] : names) {
            copy(assets, from + "/" + name, new File(to, name));
        }
        if (names == null || names.length == 0) {
            File folder = to.getParentFile();
            if (!folder.isDirectory() && !folder.mkdirs()) {
                throw new IOException("no folder " + folder);
            }
            try (InputStream source = assets.open(from); OutputStream target = new FileOutputStream(to)) {
                pour(source, target);
            }
        }
    }

    private static void remove(File file) throws IOException {
        File[] inside = file.listFiles();
        for (File child : inside == null ? new File[0] : inside) {
            remove(child);
        }
        if (file.exists() && !file.delete()) {
            throw new IOException(file + " cannot be replaced");
        }
    }

    private static String read(InputStream source) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        pour(source, bytes);
        return new String(bytes.toByteArray(), StandardCharsets.UTF_8);
    }

    private static void pour(InputStream source, OutputStream target) throws IOException {
        byte[] block = new byte[65536];
        for (int count = source.read(block); count >= 0; count = source.read(block)) {
            target.write(block, 0, count);
        }
    }
}
