package ai.edgeprune.core;

/**
 * Bilinear resizing with antialias, bit for bit Pillow's: a triangle as wide as the scale, columns before rows, 22-bit
 * fixed-point weights, rounded to 8 bits after each (Pillow's Resample.c).
 */
public final class Resize {
    private static final int PRECISION = 22;

    private Resize() {}

    /** The image in the given size. */
    public static Pixels bilinear(Pixels image, int width, int height) {
        Pixels wide = width == image.width ? image : alongRows(image, width);
        return height == image.height ? wide : transpose(alongRows(transpose(wide), height));
    }

    private static Pixels alongRows(Pixels image, int width) {
        Weights weights = new Weights(image.width, width);
        int channels = image.channels;
        byte[] values = new byte[width * image.height * channels];
        for (int y = 0; y < image.height; y++) {
            for (int x = 0; x < width; x++) {
                int first = y * image.width + weights.first[x];
                for (int channel = 0; channel < channels; channel++) {
                    int sum = 1 << (PRECISION - 1);
                    for (int k = 0; k < weights.values[x].length; k++) {
                        sum += (image.values[(first + k) * channels + channel] & 0xff) * weights.values[x][k];
                    }
                    values[(y * width + x) * channels + channel] = (byte) Math.max(0, Math.min(255, sum >> PRECISION));
                }
            }
        }
        return new Pixels(width, image.height, channels, values);
    }

    private static Pixels transpose(Pixels image) {
        return Orientation.upright(image, 5);
    }

    /** For each target pixel the first source pixel and the weights from there on. */
    private static final class Weights {
        final int[] first;
        final int[][] values;

        Weights(int from, int to) {
            first = new int[to];
            values = new int[to][];
            double scale = (double) from / to;
            double support = Math.max(scale, 1.0);
            for (int x = 0; x < to; x++) {
                double centre = (x + 0.5) * scale;
                first[x] = Math.max(0, (int) (centre - support + 0.5));
                int end = Math.min(from, (int) (centre + support + 0.5));
                double[] exact = new double[end - first[x]];
                double sum = 0;
                for (int k = 0; k < exact.length; k++) {
                    double distance = Math.abs((k + first[x] - centre + 0.5) * (1.0 / support));
                    exact[k] = distance < 1 ? 1 - distance : 0;
                    sum += exact[k];
                }
                values[x] = new int[exact.length];
                for (int k = 0; k < exact.length; k++) {
                    values[x][k] = (int) (0.5 + exact[k] * (sum == 0 ? 1 : 1 / sum) * (1 << PRECISION));
                }
            }
        }
    }
}
