package ai.edgeprune.demo;

import ai.edgeprune.core.CpuEngine;
import ai.edgeprune.core.Engine;
import ai.edgeprune.core.EngineException;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;
import org.tensorflow.lite.TensorFlowLite;

/** TensorFlow Lite on the CPU with XNNPACK. */
final class TfliteEngine extends CpuEngine {
    private final Interpreter interpreter;
    private final Object[] inputs;
    private final Map<Integer, Object> outputs = new HashMap<>();

    TfliteEngine(File model, int threads, String delegate) throws EngineException {
        super(Engine.LITERT, TensorFlowLite.runtimeVersion(), threads, delegate);
        Interpreter.Options options = new Interpreter.Options().setNumThreads(threads).setUseXNNPACK(true);
        try {
            interpreter = new Interpreter(map(model), options);
            interpreter.allocateTensors();
        } catch (IllegalArgumentException | IllegalStateException refused) {
            String message = String.valueOf(refused.getMessage());
            boolean newer = message.contains("find op") || message.contains("version");
            throw new EngineException(newer ? EngineException.VERSION : EngineException.MODEL_UNREADABLE, message);
        }
        inputs = new Object[interpreter.getInputTensorCount()];
        for (int i = 0; i < inputs.length; i++) {
            inputs[i] = buffer(interpreter.getInputTensor(i));
        }
        for (int i = 0; i < interpreter.getOutputTensorCount(); i++) {
            outputs.put(i, buffer(interpreter.getOutputTensor(i)));
        }
    }

    @Override
    public void input(float[] numbers) throws EngineException {
        Tensor tensor = interpreter.getInputTensor(0);
        if (inputs.length != 1 || tensor.numElements() != numbers.length) {
            throw new EngineException(EngineException.MODEL_UNREADABLE,
                    "the model takes " + inputs.length + " inputs, the first of " + tensor.numElements()
                            + " numbers, and not one of " + numbers.length);
        }
        requireFloat(tensor);
        ByteBuffer buffer = (ByteBuffer) inputs[0];
        buffer.rewind();
        buffer.asFloatBuffer().put(numbers);
    }

    @Override
    public void fill(Random random) {
        for (int i = 0; i < inputs.length; i++) {
            Tensor tensor = interpreter.getInputTensor(i);
            ByteBuffer buffer = (ByteBuffer) inputs[i];
            buffer.rewind();
            for (int k = 0; tensor.dataType() == DataType.FLOAT32 && k < tensor.numElements(); k++) {
                buffer.putFloat(2 * random.nextFloat() - 1);
            }
        }
    }

    @Override
    public void run() {
        for (Object input : inputs) {
            ((ByteBuffer) input).rewind();
        }
        for (Object output : outputs.values()) {
            ((ByteBuffer) output).rewind();
        }
        interpreter.runForMultipleInputsOutputs(inputs, outputs);
    }

    @Override
    public float[] output() throws EngineException {
        Tensor tensor = interpreter.getOutputTensor(0);
        requireFloat(tensor);
        ByteBuffer buffer = (ByteBuffer) outputs.get(0);
        buffer.rewind();
        float[] numbers = new float[tensor.numElements()];
        buffer.asFloatBuffer().get(numbers);
        return numbers;
    }

    @Override
    public void close() {
        interpreter.close();
    }

    private static ByteBuffer map(File model) throws EngineException {
        try (FileInputStream stream = new FileInputStream(model)) {
            return stream.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, model.length());
        } catch (IOException error) {
            throw new EngineException(EngineException.MODEL_UNREADABLE, String.valueOf(error.getMessage()));
        }
    }

    private static ByteBuffer buffer(Tensor tensor) {
        return ByteBuffer.allocateDirect(tensor.numBytes()).order(ByteOrder.nativeOrder());
    }

    private static void requireFloat(Tensor tensor) throws EngineException {
        if (tensor.dataType() != DataType.FLOAT32) {
            throw new EngineException(EngineException.MODEL_UNREADABLE, "a tensor is of type " + tensor.dataType());
        }
    }
}
