package org.pytorch.executorch;

import java.nio.FloatBuffer;

/** See Module. */
public class Tensor {
    public static FloatBuffer allocateFloatBuffer(int count) {
        throw new UnsupportedOperationException();
    }

    public static Tensor fromBlob(FloatBuffer data, long[] shape) {
        throw new UnsupportedOperationException();
    }

    public float[] getDataAsFloatArray() {
        throw new UnsupportedOperationException();
    }
}
