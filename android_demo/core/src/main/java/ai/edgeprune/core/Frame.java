package ai.edgeprune.core;

/** A frame of a camera: YUV 4:2:0 as Android gives it, luma in one plane and each chroma at half the size. */
public final class Frame {
    private Frame() {}

    /**
     * The frame as RGB, by JFIF's equations (full-range BT.601). `lumaRow` and `chromaRow` are bytes a row; `chromaStep`
     * is 1 for planes of their own and 2 where both chromas are interleaved. The last row may lack its padding.
     */
    public static Pixels rgb(int width, int height, byte[] luma, int lumaRow, byte[] blue, byte[] red, int chromaRow,
            int chromaStep) {
        byte[] values = new byte[3 * width * height];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int chroma = y / 2 * chromaRow + x / 2 * chromaStep;
                double level = luma[y * lumaRow + x] & 0xff;
                int u = (blue[chroma] & 0xff) - 128;
                int v = (red[chroma] & 0xff) - 128;
                int at = 3 * (y * width + x);
                values[at] = clip(level + 1.402 * v);
                values[at + 1] = clip(level - 0.344136 * u - 0.714136 * v);
                values[at + 2] = clip(level + 1.772 * u);
            }
        }
        return new Pixels(width, height, 3, values);
    }

    /**
     * EXIF's orientation of a frame: `sensor` is how far it has to be turned clockwise on an upright phone, `display` how
     * far the screen is turned counter-clockwise from there, both in degrees; a front camera turns the other way.
     */
    public static int orientation(int sensor, int display, boolean front) {
        switch ((sensor + (front ? display : 360 - display)) % 360) {
            case 90:
                return 6;
            case 180:
                return 3;
            case 270:
                return 8;
            default:
                return 1;
        }
    }

    private static byte clip(double value) {
        return (byte) Math.max(0, Math.min(255, Math.round(value)));
    }
}
