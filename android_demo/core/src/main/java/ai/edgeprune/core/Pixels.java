package ai.edgeprune.core;

/** An image of 8-bit channels, (height, width, channels) in one array; 3 channels are RGB, 1 is luma. */
public final class Pixels {
    public final int width;
    public final int height;
    public final int channels;
    final byte[] values;

    /** Keeps `values`, it does not copy them. */
    public Pixels(int width, int height, int channels, byte[] values) {
        if (width < 1 || height < 1 || values.length != width * height * channels) {
            throw new IllegalArgumentException(
                    values.length + " values for " + width + " x " + height + " x " + channels);
        }
        this.width = width;
        this.height = height;
        this.channels = channels;
        this.values = values;
    }

    /** RGB of colours as Android and AWT pack them, 0xAARRGGBB, row by row. Alpha is dropped, as Pillow drops it. */
    public static Pixels ofColours(int width, int height, int[] colours) {
        byte[] values = new byte[width * height * 3];
        for (int i = 0; i < width * height; i++) {
            values[3 * i] = (byte) (colours[i] >> 16);
            values[3 * i + 1] = (byte) (colours[i] >> 8);
            values[3 * i + 2] = (byte) colours[i];
        }
        return new Pixels(width, height, 3, values);
    }

    /** The value of a channel at column x and row y, 0 to 255. */
    public int at(int x, int y, int channel) {
        return values[(y * width + x) * channels + channel] & 0xff;
    }

    /** Luma of an RGB image, ITU-R 601-2 in 16-bit fixed point, as Pillow's convert("L"). */
    public Pixels luma() {
        if (channels == 1) {
            return this;
        }
        byte[] luma = new byte[width * height];
        for (int i = 0; i < luma.length; i++) {
            int red = values[3 * i] & 0xff;
            int green = values[3 * i + 1] & 0xff;
            int blue = values[3 * i + 2] & 0xff;
            luma[i] = (byte) ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
        }
        return new Pixels(width, height, 1, luma);
    }

    /** The part of the given size whose corner is at (left, top). */
    public Pixels crop(int left, int top, int newWidth, int newHeight) {
        byte[] part = new byte[newWidth * newHeight * channels];
        for (int y = 0; y < newHeight; y++) {
            int from = ((top + y) * width + left) * channels;
            System.arraycopy(values, from, part, y * newWidth * channels, newWidth * channels);
        }
        return new Pixels(newWidth, newHeight, channels, part);
    }
}
