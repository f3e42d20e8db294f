"""Makes keras_digits.onnx: a small Keras network, trained on scikit-learn's digits, as tf2onnx writes it.

Needs tensorflow-cpu 2.21, tf2onnx 1.17 and scikit-learn, which no environment of this repository holds together:
python make_keras_digits.py
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers
from sklearn.datasets import load_digits

TRAIN, EPOCHS, BATCH = 1297, 10, 32


def network() -> keras.Model:
    image = keras.Input((8, 8, 1))
    h = layers.Conv2D(16, 3, padding="same", use_bias=False)(image)
    h = skip = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(h)
    h = layers.Activation("swish")(layers.BatchNormalization()(h))
    h = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(h))
    h = layers.ReLU()(layers.Add()([h, skip]))
    h = layers.BatchNormalization()(layers.Conv2D(32, 3, strides=2, padding="same")(h))
    h = layers.Flatten()(layers.MaxPooling2D()(layers.ReLU(max_value=6)(h)))
    h = layers.Dropout(0.2)(layers.Dense(48, activation="relu")(h))
    return keras.Model(image, layers.Dense(10, activation="softmax")(h))


def main() -> None:
    keras.utils.set_random_seed(0)
    digits, rng = load_digits(), np.random.default_rng(0)
    x, y = (digits.images / 16).astype("float32")[..., None], digits.target.astype("int32")
    model, optimizer = network(), keras.optimizers.Adam(2e-3)
    for _ in range(EPOCHS):
        order = rng.permutation(TRAIN)
        for start in range(0, TRAIN - 1, BATCH):
            batch = order[start : start + BATCH]
            with tf.GradientTape() as tape:
                losses = keras.losses.sparse_categorical_crossentropy(y[batch], model(x[batch], training=True))
                loss = tf.reduce_mean(losses)
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    right = model(x[TRAIN:], training=False).numpy().argmax(1) == y[TRAIN:]
    print(f"accuracy on the last {len(right)}: {right.mean():.3f}")
    signature = [tf.TensorSpec((None, 8, 8, 1), tf.float32, name="image")]
    forward = tf.function(lambda image: model(image, training=False), input_signature=signature)
    path = Path(__file__).with_name("keras_digits.onnx")
    tf2onnx.convert.from_function(forward, input_signature=signature, opset=17, output_path=str(path))


if __name__ == "__main__":
    main()
