package ai.edgeprune.core;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonValue;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import javax.imageio.ImageIO;

/** What Python wrote for comparison (tests/android_demo/golden.py); `make app-test` does so before Maven starts. */
final class Golden {
    private Golden() {}

    static File file(String name) {
        String folder = System.getProperty("golden");
        if (folder == null || !new File(folder).isDirectory()) {
            throw new IllegalStateException("no golden files in " + folder + ": run make app-test");
        }
        return new File(folder, name);
    }

    static byte[] bytes(String name) throws IOException {
        return Files.readAllBytes(file(name).toPath());
    }

    static String text(String name) throws IOException {
        return new String(bytes(name), StandardCharsets.UTF_8);
    }

    static JsonValue json(String name) throws IOException {
        return Json.parse(text(name));
    }

    static float[] floats(String name) throws IOException {
        byte[] bytes = bytes(name);
        float[] floats = new float[bytes.length / 4];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(floats);
        return floats;
    }

    /** The raw pixels of a PNG; grey ones are not passed through a colour space, which would brighten them. */
    static Pixels picture(String name) throws IOException {
        BufferedImage image = ImageIO.read(file(name));
        int width = image.getWidth();
        int height = image.getHeight();
        if (image.getRaster().getNumBands() == 1) {
            int[] levels = image.getRaster().getSamples(0, 0, width, height, 0, (int[]) null);
            int[] colours = new int[levels.length];
            for (int i = 0; i < levels.length; i++) {
                colours[i] = 0xff000000 | levels[i] * 0x010101;
            }
            return Pixels.ofColours(width, height, colours);
        }
        return Pixels.ofColours(width, height, image.getRGB(0, 0, width, height, null, 0, width));
    }
}
