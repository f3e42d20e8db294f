package ai.edgeprune.demo;

import ai.edgeprune.core.CpuEngine;
import ai.edgeprune.core.Engine;
import ai.edgeprune.core.EngineException;
import java.io.File;
import java.nio.FloatBuffer;
import java.util.Random;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Module;
import org.pytorch.executorch.Tensor;

/** ExecuTorch on the CPU, with the delegate that the file was made for (XNNPACK). Inputs are float32. */
final class ExecuTorchEngine extends CpuEngine {
    /** Of android_demo/pom.xml: the library does not tell. */
    private static final String VERSION = "1.5.1";

    private final Module module;
    private final FloatBuffer[] buffers;
    private final EValue[] inputs;
    private EValue[] outputs = new EValue[0];

    ExecuTorchEngine(File model, int threads, String delegate, int[][] shapes) throws EngineException {
        super(Engine.EXECUTORCH, VERSION, threads, delegate);
        if (shapes.length == 0) {
            throw new EngineException(EngineException.BAD_REQUEST, "ExecuTorch needs the shapes of the inputs");
        }
        buffers = new FloatBuffer[shapes.length];
        inputs = new EValue[shapes.length];
        for (int i = 0; i < shapes.length; i++) {
            long[] shape = new long[shapes[i].length];
            int count = 1;
            for (int k = 0; k < shape.length; k++) {
                shape[k] = shapes[i][k];
                count *= shapes[i][k];
            }
            buffers[i] = Tensor.allocateFloatBuffer(count);
            inputs[i] = EValue.from(Tensor.fromBlob(buffers[i], shape));
        }
        try {
            module = Module.load(model.getPath(), Module.LOAD_MODE_MMAP, threads);
            module.loadMethod("forward");
        } catch (RuntimeException refused) {
            throw new EngineException(EngineException.MODEL_UNREADABLE, String.valueOf(refused.getMessage()));
        }
    }

    @Override
    public void input(float[] numbers) throws EngineException {
        if (buffers.length != 1 || buffers[0].capacity() != numbers.length) {
            throw new EngineException(EngineException.MODEL_UNREADABLE,
                    "the model takes " + buffers.length + " inputs, and not one of " + numbers.length + " numbers");
        }
        buffers[0].rewind();
        buffers[0].put(numbers);
    }

    @Override
    public void fill(Random random) {
        for (FloatBuffer buffer : buffers) {
            for (int i = 0; i < buffer.capacity(); i++) {
                buffer.put(i, 2 * random.nextFloat() - 1);
            }
        }
    }

    @Override
    public void run() {
        outputs = module.forward(inputs);
    }

    @Override
    public float[] output() {
        return outputs[0].toTensor().getDataAsFloatArray();
    }

    @Override
    public void close() {
        module.close();
    }
}
