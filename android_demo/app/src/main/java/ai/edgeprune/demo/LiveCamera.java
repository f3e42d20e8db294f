package ai.edgeprune.demo;

import ai.edgeprune.core.Frame;
import ai.edgeprune.core.Orientation;
import ai.edgeprune.core.Pixels;
import android.app.Activity;
import android.content.Context;
import android.graphics.ImageFormat;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.util.Size;
import android.view.Surface;
import java.nio.ByteBuffer;
import java.util.Collections;

/** The camera's frames, upright, one at a time: what comes while the last is still being looked at is dropped. */
final class LiveCamera implements AutoCloseable {
    /** Called on the camera's thread. */
    interface Listener {
        /** Whether another frame is wanted now. */
        boolean wants();

        void frame(Pixels upright);

        /** Why there are no frames, in words. */
        void failed(String why);
    }

    private static final int ENOUGH = 320 * 240;

    private final Activity activity;
    private final Listener listener;
    private final HandlerThread thread = new HandlerThread("camera");
    private final Handler handler;
    private int orientation = 1;
    private ImageReader reader;
    private CameraDevice camera;
    private boolean closed;

    LiveCamera(Activity activity, Listener listener) {
        this.activity = activity;
        this.listener = listener;
        thread.start();
        handler = new Handler(thread.getLooper());
    }

    /** Start the frames of the camera on the back, or of the only one. The permission has to be granted. */
    void open() {
        CameraManager manager = (CameraManager) activity.getSystemService(Context.CAMERA_SERVICE);
        try {
            String id = choose(manager);
            if (id == null) {
                listener.failed(activity.getString(R.string.no_camera));
                return;
            }
            CameraCharacteristics facts = manager.getCameraCharacteristics(id);
            Integer sensor = facts.get(CameraCharacteristics.SENSOR_ORIENTATION);
            Integer facing = facts.get(CameraCharacteristics.LENS_FACING);
            int display = 90 * activity.getWindowManager().getDefaultDisplay().getRotation();
            boolean front = facing != null && facing == CameraCharacteristics.LENS_FACING_FRONT;
            orientation = Frame.orientation(sensor == null ? 0 : sensor, display, front);
            Size size = smallest(facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP));
            reader = ImageReader.newInstance(size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, 2);
            reader.setOnImageAvailableListener(new ImageReader.OnImageAvailableListener() {
                @Override
                public void onImageAvailable(ImageReader source) {
                    try (Image image = source.acquireLatestImage()) {
                        if (image != null && listener.wants()) {
                            deliver(pixels(image));
                        }
                    }
                }
            }, handler);
            manager.openCamera(id, new Opened(), handler);
        } catch (CameraAccessException | SecurityException | IllegalArgumentException error) {
            listener.failed(activity.getString(R.string.camera_failed) + " " + error.getMessage());
        }
    }

    /** A frame as the sensor sees it. */
    void deliver(Pixels frame) {
        listener.frame(Orientation.upright(frame, orientation));
    }

    @Override
    public void close() {
        synchronized (this) {
            closed = true;
            if (camera != null) {
                camera.close();
            }
        }
        if (reader != null) {
            reader.close();
        }
        thread.quitSafely();
    }

    private final class Opened extends CameraDevice.StateCallback {
        @Override
        public void onOpened(CameraDevice device) {
            synchronized (LiveCamera.this) {
                camera = device;
                if (closed) {
                    device.close();
                    return;
                }
            }
            try {
                Surface frames = reader.getSurface();
                CaptureRequest.Builder request = device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
                request.addTarget(frames);
                device.createCaptureSession(Collections.singletonList(frames), new Configured(request.build()), handler);
            } catch (CameraAccessException | IllegalStateException error) {
                fail(error.getMessage());
            }
        }

        @Override
        public void onDisconnected(CameraDevice device) {
            device.close();
            fail("another app took it.");
        }

        @Override
        public void onError(CameraDevice device, int error) {
            device.close();
            fail("error " + error + ".");
        }
    }

    private final class Configured extends CameraCaptureSession.StateCallback {
        private final CaptureRequest request;

        Configured(CaptureRequest request) {
            this.request = request;
        }

        @Override
        public void onConfigured(CameraCaptureSession session) {
            try {
                session.setRepeatingRequest(request, null, handler);
            } catch (CameraAccessException | IllegalStateException error) { // also: closed in the meantime
                fail(error.getMessage());
            }
        }

        @Override
        public void onConfigureFailed(CameraCaptureSession session) {
            fail("it does not give frames for an app.");
        }
    }

    private void fail(String why) {
        synchronized (this) {
            if (closed) {
                return;
            }
        }
        listener.failed(activity.getString(R.string.camera_failed) + " " + why);
    }

    private static String choose(CameraManager manager) throws CameraAccessException {
        String[] ids = manager.getCameraIdList();
        for (String id : ids) {
            Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
            if (facing != null && facing == CameraCharacteristics.LENS_FACING_BACK) {
                return id;
            }
        }
        return ids.length == 0 ? null : ids[0];
    }

    /** The smallest frame that is large enough, else the largest. */
    private static Size smallest(StreamConfigurationMap sizes) {
        Size best = null;
        for (Size size : sizes.getOutputSizes(ImageFormat.YUV_420_888)) {
            int area = size.getWidth() * size.getHeight();
            int before = best == null ? 0 : best.getWidth() * best.getHeight();
            if (best == null || (before < ENOUGH ? area > before : area >= ENOUGH && area < before)) {
                best = size;
            }
        }
        return best;
    }

    private static Pixels pixels(Image image) {
        Image.Plane[] planes = image.getPlanes();
        return Frame.rgb(image.getWidth(), image.getHeight(), bytes(planes[0]), planes[0].getRowStride(),
                bytes(planes[1]), bytes(planes[2]), planes[1].getRowStride(), planes[1].getPixelStride());
    }

    private static byte[] bytes(Image.Plane plane) {
        ByteBuffer buffer = plane.getBuffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }
}
