"""Single-layer files against torch, with the weights read back out of the file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from profilers.host.litert_flatbuffer import empty_file, layer_file, same_padding
from profilers.layers import LayerKey

interpreters = pytest.importorskip("ai_edge_litert.interpreter")

CONV = LayerKey("conv2d", 8, 12, (14, 14), (14, 14), (3, 3), padding=(1, 1))
CASES = {
    "same": CONV,
    "stride 2 needs a pad": replace(CONV, out_hw=(7, 7), stride=(2, 2)),
    "stride 2, odd size": replace(CONV, in_hw=(15, 15), out_hw=(8, 8), stride=(2, 2)),
    "valid": replace(CONV, out_hw=(12, 12), padding=(0, 0)),
    "dilated": replace(CONV, padding=(2, 2), dilation=(2, 2)),
    "1x1 stride 2": replace(CONV, kernel=(1, 1), padding=(0, 0), stride=(2, 2), out_hw=(7, 7)),
    "oblong": replace(CONV, in_hw=(9, 14), out_hw=(9, 7), kernel=(1, 5), padding=(0, 2), stride=(1, 2)),
    "one input channel": replace(CONV, c_in=1),
    "grouped": replace(CONV, op="grouped", groups=4),
    "depthwise": replace(CONV, op="depthwise", c_out=8, groups=8),
    "depthwise stride 2": replace(CONV, op="depthwise", c_out=8, groups=8, out_hw=(7, 7), stride=(2, 2)),
    "depthwise times 2": replace(CONV, op="depthwise", c_out=16, groups=8),
    "transposed": LayerKey("conv_transpose2d", 8, 6, (7, 7), (14, 14), (2, 2), (2, 2)),
    "transposed 4x4": LayerKey("conv_transpose2d", 8, 6, (7, 7), (14, 14), (4, 4), (2, 2), (1, 1)),
    "linear": LayerKey("linear", 64, 10),
    "linear on rows": LayerKey("linear", 16, 24, (7, 7), (7, 7)),
}


def load(content: bytes):
    interpreter = interpreters.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run(content: bytes) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray], list[str]]:
    """Inputs, output, float constants of the file in order, and ops."""
    plain = interpreters.Interpreter(
        model_content=content,
        experimental_op_resolver_type=interpreters.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    plain.allocate_tensors()
    made = {int(t) for op in plain._get_ops_details() for t in op["outputs"]}
    made |= {d["index"] for d in plain.get_input_details()}
    constants = [
        plain.get_tensor(d["index"])
        for d in plain.get_tensor_details()
        if d["index"] not in made and d["dtype"] == np.float32
    ]
    interpreter = load(content)
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(d["shape"]).astype(np.float32) for d in interpreter.get_input_details()]
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return inputs, output, constants, [op["op_name"] for op in interpreter._get_ops_details()]


def expected(key: LayerKey, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if key.op == "linear":
        return F.linear(x, weight, bias)
    nchw = x.permute(0, 3, 1, 2)
    if key.op == "conv_transpose2d":
        kernel = weight.permute(3, 0, 1, 2)  # O, H, W, I -> I, O, H, W
        y = F.conv_transpose2d(nchw, kernel, bias, key.stride, key.padding)
    elif key.groups == key.c_in:
        y = F.conv2d(nchw, weight.permute(3, 0, 1, 2), bias, key.stride, key.padding, key.dilation, key.groups).relu()
    else:
        y = F.conv2d(nchw, weight.permute(0, 3, 1, 2), bias, key.stride, key.padding, key.dilation, key.groups).relu()
    return y.permute(0, 2, 3, 1)


@pytest.mark.parametrize("key", CASES.values(), ids=list(CASES))
def test_a_layer_file_computes_what_torch_computes(key: LayerKey) -> None:
    (x,), found, constants, ops = run(layer_file(key))
    weight = next(c for c in constants if c.ndim == (2 if key.op == "linear" else 4))
    bias = next(c for c in constants if c.ndim == 1)
    wanted = expected(key, *map(torch.from_numpy, (x, weight, bias))).numpy()
    assert weight.size == key.weights()
    assert found.shape == wanted.shape
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    assert ops[-1] == "DELEGATE"


def test_add_and_mean() -> None:
    (a, b), found, _, _ = run(layer_file(LayerKey("add", 16, 16, (5, 5), (5, 5))))
    np.testing.assert_allclose(found, np.maximum(a + b, 0), rtol=1e-6)
    (x,), pooled, _, _ = run(layer_file(LayerKey("mean", 16, 16, (5, 5), (1, 1))))
    np.testing.assert_allclose(pooled, x.mean((1, 2), keepdims=True), atol=1e-6)


def test_a_pad_is_written_only_where_tensorflow_pads_otherwise() -> None:
    assert "PAD" not in run(layer_file(CASES["same"]))[3]
    assert "PAD" in run(layer_file(CASES["stride 2 needs a pad"]))[3]
    assert "PAD" not in run(layer_file(CASES["stride 2, odd size"]))[3]
    # 28 -> 14 by 3x3 stride 2: 13 * 2 + 3 - 28 = 1 in all, so TensorFlow puts 0 before and torch 1
    assert not same_padding(28, 14, 3, 2, 1, 1)
    assert same_padding(29, 15, 3, 2, 1, 1)


def test_weights_are_aligned_for_the_runtime() -> None:
    content = layer_file(CONV)
    weight = next(c for c in run(content)[2] if c.ndim == 4)
    assert content.find(weight.tobytes()) % 16 == 0


def test_the_empty_model_runs() -> None:
    assert run(empty_file())[1].shape == (1, 1, 1, 4)
