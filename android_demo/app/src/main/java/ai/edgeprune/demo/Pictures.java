package ai.edgeprune.demo;

import ai.edgeprune.core.Orientation;
import ai.edgeprune.core.Pixels;
import ai.edgeprune.core.Preprocessing;
import android.content.ContentResolver;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.media.ExifInterface;
import android.net.Uri;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/** Pictures of files and of the gallery as pixels, upright if the network was trained so. */
final class Pictures {
    private static final int LARGEST = 4096;

    private Pictures() {}

    /** A sample of a bundle. */
    static Pixels read(File file, Preprocessing how) throws IOException {
        try (InputStream pixels = new FileInputStream(file); InputStream head = new FileInputStream(file)) {
            return turn(decode(pixels, 1), head, how);
        }
    }

    /** A picture of the gallery; one above 4096 pixels is decoded at an integer fraction of its size. */
    static Pixels read(ContentResolver resolver, Uri address, Preprocessing how) throws IOException {
        BitmapFactory.Options size = new BitmapFactory.Options();
        size.inJustDecodeBounds = true;
        try (InputStream head = open(resolver, address)) {
            BitmapFactory.decodeStream(head, null, size);
        }
        int fraction = 1;
        while (Math.max(size.outWidth, size.outHeight) / fraction > LARGEST) {
            fraction *= 2;
        }
        try (InputStream pixels = open(resolver, address); InputStream head = open(resolver, address)) {
            return turn(decode(pixels, fraction), head, how);
        }
    }

    /** What the network sees, to be shown. */
    static Bitmap show(Pixels image) {
        int[] colours = new int[image.width * image.height];
        for (int i = 0; i < colours.length; i++) {
            int x = i % image.width;
            int y = i / image.width;
            int last = image.channels - 1;
            colours[i] = 0xff000000 | image.at(x, y, 0) << 16 | image.at(x, y, last / 2) << 8 | image.at(x, y, last);
        }
        return Bitmap.createBitmap(colours, image.width, image.height, Bitmap.Config.ARGB_8888);
    }

    private static InputStream open(ContentResolver resolver, Uri address) throws IOException {
        InputStream stream = resolver.openInputStream(address);
        if (stream == null) {
            throw new IOException("the picture is gone");
        }
        return stream;
    }

    private static Pixels decode(InputStream stream, int fraction) throws IOException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inPremultiplied = false;
        options.inPreferredConfig = Bitmap.Config.ARGB_8888;
        options.inSampleSize = fraction;
        Bitmap bitmap = BitmapFactory.decodeStream(stream, null, options);
        if (bitmap == null) {
            throw new IOException("this is no picture that Android reads");
        }
        int[] colours = new int[bitmap.getWidth() * bitmap.getHeight()];
        bitmap.getPixels(colours, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
        return Pixels.ofColours(bitmap.getWidth(), bitmap.getHeight(), colours);
    }

    private static Pixels turn(Pixels image, InputStream head, Preprocessing how) throws IOException {
        if (!how.appliesExif) {
            return image;
        }
        int tag = new ExifInterface(head).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1);
        return Orientation.upright(image, tag);
    }
}
