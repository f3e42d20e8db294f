package ai.edgeprune.core;

import com.eclipsesource.json.JsonObject;

/** From a picture to the numbers that a network was trained on, as a bundle pins it. */
public final class Preprocessing {
    public final int channels;
    public final int side;
    /** Whether the picture is turned as EXIF says before anything else. */
    public final boolean appliesExif;
    private final double[] mean;
    private final double[] std;

    Preprocessing(JsonObject json) throws BundleException {
        JsonObject resize = Fields.object(json, "resize");
        Fields.require(json, "exif", "apply", "ignore");
        Fields.require(json, "colour", "RGB", "L");
        Fields.require(resize, "filter", "bilinear");
        Fields.require(resize, "fit", "shorter side, centre crop");
        if (!Fields.truth(resize, "antialias")) {
            throw new BundleException("resize without antialias is unknown to this app");
        }
        channels = Fields.text(json, "colour").equals("RGB") ? 3 : 1;
        appliesExif = Fields.text(json, "exif").equals("apply");
        side = Fields.positive(resize, "side");
        mean = Fields.numbers(json, "mean", channels);
        std = Fields.numbers(json, "std", channels);
        for (double value : std) {
            if (!(value > 0)) {
                throw new BundleException("std " + value + " is not positive");
            }
        }
    }

    /** The upright picture as the network sees it, still in 8 bits: (side, side, channels). */
    public Pixels fit(Pixels picture) {
        Pixels image = channels == 1 ? picture.luma() : picture;
        double scale = (double) side / Math.min(image.width, image.height);
        int width = (int) Math.max(side, Math.rint(image.width * scale));
        int height = (int) Math.max(side, Math.rint(image.height * scale));
        Pixels resized = Resize.bilinear(image, width, height);
        return resized.crop((width - side) / 2, (height - side) / 2, side, side);
    }

    /** (value / 255 - mean) / std of a fitted image, in the order that the file takes. */
    public float[] normalise(Pixels fitted, boolean channelsFirst) {
        int area = side * side;
        float[] numbers = new float[area * channels];
        for (int i = 0; i < area; i++) {
            for (int channel = 0; channel < channels; channel++) {
                float pixel = (fitted.values[i * channels + channel] & 0xff) / 255f;
                float value = (pixel - (float) mean[channel]) / (float) std[channel];
                numbers[channelsFirst ? channel * area + i : i * channels + channel] = value;
            }
        }
        return numbers;
    }
}
