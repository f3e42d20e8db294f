package ai.edgeprune.core;

/** The eight orientations of EXIF (CIPA DC-008, tag 0x0112): how a camera's picture is turned upright. */
public final class Orientation {
    private Orientation() {}

    /** The image upright. `orientation` is EXIF's number, 1 to 8; any other changes nothing. */
    public static Pixels upright(Pixels image, int orientation) {
        boolean transposed = orientation >= 5 && orientation <= 8;
        int width = transposed ? image.height : image.width;
        int height = transposed ? image.width : image.height;
        byte[] values = new byte[image.values.length];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int from = source(image, orientation, x, y) * image.channels;
                System.arraycopy(image.values, from, values, (y * width + x) * image.channels, image.channels);
            }
        }
        return new Pixels(width, height, image.channels, values);
    }

    /** Where the upright pixel (x, y) lies in the image, as an index of pixels. */
    private static int source(Pixels image, int orientation, int x, int y) {
        int right = image.width - 1;
        int bottom = image.height - 1;
        switch (orientation) {
            case 2:
                return y * image.width + right - x;
            case 3:
                return (bottom - y) * image.width + right - x;
            case 4:
                return (bottom - y) * image.width + x;
            case 5:
                return x * image.width + y;
            case 6:
                return (bottom - x) * image.width + y;
            case 7:
                return (bottom - x) * image.width + right - y;
            case 8:
                return x * image.width + right - y;
            default:
                return y * image.width + x;
        }
    }
}
