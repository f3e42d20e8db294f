import java.awt.image.BufferedImage;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import javax.imageio.ImageIO;

/** Runs a snippet's preprocessing on a PNG: `Harness picture.png numbers.bin`. */
public final class Harness {
    public static void main(String[] arguments) throws Exception {
        BufferedImage image = ImageIO.read(new File(arguments[0]));
        int width = image.getWidth();
        int height = image.getHeight();
        float[] numbers = PREPROCESS(image.getRGB(0, 0, width, height, null, 0, width), width, height);
        ByteBuffer bytes = ByteBuffer.allocate(4 * numbers.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(numbers);
        Files.write(new File(arguments[1]).toPath(), bytes.array());
    }
}
