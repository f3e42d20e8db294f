"""A .tflite file of one layer, written directly as a flatbuffer: milliseconds instead of a conversion's seconds.

It has the form that litert-torch gives the layer: NHWC, padding as SAME or VALID where TensorFlow's rule agrees with
torch's and as a PAD before it where not, convolutions with groups = c_in as DEPTHWISE_CONV_2D.
"""

import importlib
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from profilers.errors import RuntimeNotInstalled
from profilers.layers import LayerKey

ALIGNMENT = 16
SAME, VALID, RELU = 0, 1, 1


@cache
def _library() -> tuple[Any, Any]:
    """The schema's classes and a flatbuffer builder that aligns every vector as the runtime wants its buffers."""
    try:
        schema = importlib.import_module("ai_edge_litert.schema_py_generated")
        flatbuffers = importlib.import_module("flatbuffers")
    except ImportError as error:
        raise RuntimeNotInstalled(f"layer probes need ai-edge-litert: {error}", "pip install ai-edge-litert") from error

    class AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc, name-defined]
        def StartVector(self, size: int, count: int, alignment: int) -> Any:
            return super().StartVector(size, count, max(alignment, ALIGNMENT))

    return schema, AlignedBuilder


def schema() -> Any:
    """The classes of a .tflite's tables. Raises RuntimeNotInstalled."""
    return _library()[0]


def aligned_builder(size: int) -> Any:
    """A flatbuffer builder that aligns every vector as the runtime wants its buffers. Raises RuntimeNotInstalled."""
    return _library()[1](size)


class _Graph:
    """One subgraph under construction."""

    def __init__(self) -> None:
        self.schema = schema()
        self.graph = self.schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self._codes: list[Any] = []
        self._buffers = [self.schema.BufferT()]

    def tensor(self, shape: tuple[int, ...], data: npt.NDArray[Any] | None = None) -> int:
        """An activation, or a constant if there is data. Its index."""
        tensor = self.schema.TensorT()
        tensor.shape, tensor.name = list(shape), f"t{len(self.graph.tensors)}"
        types = self.schema.TensorType
        tensor.type = types.INT32 if data is not None and data.dtype == np.int32 else types.FLOAT32
        tensor.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
            self._buffers.append(buffer)
            tensor.buffer = len(self._buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def op(self, name: str, inputs: list[int], output: int, options: str, **fields: Any) -> None:
        """An operator; `options` names its options table, `fields` fill it."""
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self._codes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self._codes) - 1, inputs, [output]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, options + "T")()
        for key, value in fields.items():
            setattr(operator.builtinOptions, key, value)
        self.graph.operators.append(operator)

    def finish(self, inputs: list[int], output: int) -> bytes:
        """The file."""
        self.graph.inputs, self.graph.outputs = inputs, [output]
        model = self.schema.ModelT()
        model.version, model.description = 3, "EdgePrune layer probe"
        model.operatorCodes, model.subgraphs, model.buffers = self._codes, [self.graph], self._buffers
        builder = aligned_builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


@cache
def _noise() -> npt.NDArray[np.float32]:
    return (np.random.default_rng(0).standard_normal(1 << 16) * 0.05).astype(np.float32)


def _weights(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.resize(_noise(), shape)


def same_padding(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Whether TensorFlow's SAME puts as much before the first element as torch's `padding`, for the same output."""
    total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return out == -(-size // stride) and total // 2 == padding


def _padded(graph: _Graph, key: LayerKey, source: int) -> tuple[int, int]:
    """(tensor that the convolution reads, its padding mode)."""
    if key.padding == (0, 0):
        return source, VALID
    axes = zip(key.in_hw, key.out_hw, key.kernel, key.stride, key.padding, key.dilation, strict=True)
    if all(same_padding(*axis) for axis in axes):
        return source, SAME
    (h, w), (ph, pw) = key.in_hw, key.padding
    amounts = graph.tensor((4, 2), np.array([[0, 0], [ph, ph], [pw, pw], [0, 0]], np.int32))
    padded = graph.tensor((1, h + 2 * ph, w + 2 * pw, key.c_in))
    graph.op("PAD", [source, amounts], padded, "PadOptions")
    return padded, VALID


def _conv(graph: _Graph, key: LayerKey, source: int, target: int) -> None:
    read, padding = _padded(graph, key, source)
    common = {
        "padding": padding,
        "strideH": key.stride[0],
        "strideW": key.stride[1],
        "dilationHFactor": key.dilation[0],
        "dilationWFactor": key.dilation[1],
        "fusedActivationFunction": RELU,
    }
    bias = graph.tensor((key.c_out,), _weights((key.c_out,)))
    if key.groups == key.c_in:
        shape = (1, *key.kernel, key.c_out)
        weight = graph.tensor(shape, _weights(shape))
        multiplier = key.c_out // key.c_in
        graph.op(
            "DEPTHWISE_CONV_2D",
            [read, weight, bias],
            target,
            "DepthwiseConv2DOptions",
            depthMultiplier=multiplier,
            **common,
        )
        return
    shape = (key.c_out, *key.kernel, key.c_in // key.groups)
    weight = graph.tensor(shape, _weights(shape))
    graph.op("CONV_2D", [read, weight, bias], target, "Conv2DOptions", **common)


def _conv_transpose(graph: _Graph, key: LayerKey, source: int, target: int) -> None:
    shape = (key.c_out, *key.kernel, key.c_in)
    weight, bias = graph.tensor(shape, _weights(shape)), graph.tensor((key.c_out,), _weights((key.c_out,)))
    size = graph.tensor((4,), np.array([1, *key.out_hw, key.c_out], np.int32))
    same = all(o == i * s for o, i, s in zip(key.out_hw, key.in_hw, key.stride, strict=True))
    graph.op(
        "TRANSPOSE_CONV",
        [size, weight, source, bias],
        target,
        "TransposeConvOptions",
        padding=SAME if same else VALID,
        strideH=key.stride[0],
        strideW=key.stride[1],
    )


def layer_file(key: LayerKey) -> bytes:
    """The bytes of a .tflite that runs this layer alone. Raises RuntimeNotInstalled."""
    graph = _Graph()
    if key.op == "linear":
        rows = key.in_hw[0] * key.in_hw[1]
        source, target = graph.tensor((rows, key.c_in)), graph.tensor((rows, key.c_out))
        weight = graph.tensor((key.c_out, key.c_in), _weights((key.c_out, key.c_in)))
        bias = graph.tensor((key.c_out,), _weights((key.c_out,)))
        graph.op("FULLY_CONNECTED", [source, weight, bias], target, "FullyConnectedOptions")
        return graph.finish([source], target)
    source, target = graph.tensor((1, *key.in_hw, key.c_in)), graph.tensor((1, *key.out_hw, key.c_out))
    if key.op == "add":
        other = graph.tensor((1, *key.in_hw, key.c_in))
        graph.op("ADD", [source, other], target, "AddOptions", fusedActivationFunction=RELU)
        return graph.finish([source, other], target)
    if key.op == "mean":
        axes = graph.tensor((2,), np.array([1, 2], np.int32))
        graph.op("MEAN", [source, axes], target, "ReducerOptions", keepDims=True)
    elif key.op == "conv_transpose2d":
        _conv_transpose(graph, key, source, target)
    else:
        _conv(graph, key, source, target)
    return graph.finish([source], target)


def empty_file() -> bytes:
    """A model that does next to nothing: what an invocation costs in itself."""
    return layer_file(LayerKey("add", 4, 4))
