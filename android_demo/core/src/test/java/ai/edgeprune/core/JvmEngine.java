package ai.edgeprune.core;

import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterAllocateTensors;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterCreate;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterDelete;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterGetInputTensor;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterGetOutputTensor;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterInvoke;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterOptionsCreate;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterOptionsDelete;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteInterpreterOptionsSetNumThreads;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteModelCreateFromFile;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteTensorByteSize;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteTensorCopyFromBuffer;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteTensorCopyToBuffer;
import static org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteVersion;

import java.io.File;
import java.util.Random;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.tensorflowlite.TfLiteInterpreter;
import org.bytedeco.tensorflowlite.TfLiteInterpreterOptions;
import org.bytedeco.tensorflowlite.TfLiteModel;
import org.bytedeco.tensorflowlite.TfLiteTensor;

/** TensorFlow Lite on the JVM, through its C API: the app's runtime for tests without a phone. */
public class JvmEngine extends CpuEngine {
    public static final Factory FACTORY = new Factory() {
        @Override
        public Engine open(File model, String runtime, int threads, String delegate, int[][] shapes)
                throws EngineException {
            return new JvmEngine(model, threads, delegate);
        }
    };

    private final TfLiteModel model;
    private final TfLiteInterpreter interpreter;

    public JvmEngine(File file, int threads, String delegate) throws EngineException {
        super(Engine.LITERT, TfLiteVersion().getString(), threads, delegate);
        model = TfLiteModelCreateFromFile(file.getPath());
        if (model == null || model.isNull()) {
            throw new EngineException(EngineException.MODEL_UNREADABLE, file + " is no model");
        }
        TfLiteInterpreterOptions options = TfLiteInterpreterOptionsCreate();
        TfLiteInterpreterOptionsSetNumThreads(options, threads);
        interpreter = TfLiteInterpreterCreate(model, options);
        TfLiteInterpreterOptionsDelete(options);
        check(TfLiteInterpreterAllocateTensors(interpreter));
    }

    @Override
    public void input(float[] numbers) throws EngineException {
        TfLiteTensor tensor = TfLiteInterpreterGetInputTensor(interpreter, 0);
        try (FloatPointer values = new FloatPointer(numbers)) {
            check(TfLiteTensorCopyFromBuffer(tensor, values, 4L * numbers.length));
        }
    }

    @Override
    public void fill(Random random) throws EngineException {
        float[] numbers = new float[(int) TfLiteTensorByteSize(TfLiteInterpreterGetInputTensor(interpreter, 0)) / 4];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = 2 * random.nextFloat() - 1;
        }
        input(numbers);
    }

    @Override
    public void run() throws EngineException {
        check(TfLiteInterpreterInvoke(interpreter));
    }

    @Override
    public float[] output() throws EngineException {
        TfLiteTensor tensor = TfLiteInterpreterGetOutputTensor(interpreter, 0);
        long bytes = TfLiteTensorByteSize(tensor);
        float[] numbers = new float[(int) bytes / 4];
        try (FloatPointer values = new FloatPointer(numbers.length)) {
            check(TfLiteTensorCopyToBuffer(tensor, values, bytes));
            values.get(numbers);
        }
        return numbers;
    }

    @Override
    public void close() {
        TfLiteInterpreterDelete(interpreter);
    }

    private static void check(int status) throws EngineException {
        if (status != 0) {
            throw new EngineException(EngineException.INTERNAL, "TensorFlow Lite answered " + status);
        }
    }
}
