package ai.edgeprune.demo;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.database.Cursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import java.io.File;
import java.io.FileNotFoundException;

/** One file, lent to the phone's camera app for each photograph: so this app needs no permission to use the camera. */
public final class CameraProvider extends ContentProvider {
    static final Uri PHOTOGRAPH = Uri.parse("content://ai.edgeprune.demo.camera/photograph.jpg");

    @Override
    public boolean onCreate() {
        return true;
    }

    @Override
    public ParcelFileDescriptor openFile(Uri address, String mode) throws FileNotFoundException {
        File photograph = new File(getContext().getFilesDir(), "photograph.jpg");
        return ParcelFileDescriptor.open(photograph, ParcelFileDescriptor.parseMode(mode));
    }

    @Override
    public String getType(Uri address) {
        return "image/jpeg";
    }

    @Override
    public Cursor query(Uri address, String[] columns, String where, String[] values, String order) {
        return null;
    }

    @Override
    public Uri insert(Uri address, ContentValues values) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int delete(Uri address, String where, String[] values) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int update(Uri address, ContentValues values, String where, String[] arguments) {
        throw new UnsupportedOperationException();
    }
}
