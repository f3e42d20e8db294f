package org.pytorch.executorch;

/** The signatures of ExecuTorch's class that the app uses, to compile against where the library cannot be had. */
public class Module implements java.io.Closeable {
    public static final int LOAD_MODE_MMAP = 1;

    public static Module load(String path, int loadMode, int threads) {
        throw new UnsupportedOperationException();
    }

    public void loadMethod(String name) {}

    public EValue[] forward(EValue... inputs) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
