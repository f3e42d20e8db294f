"""Read an ONNX file (.onnx): the graph and its initializers, no runtime."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from converters.artifact import TensorSpec
from converters.contents import Array, Contents, FileLayer, transposed_weight
from converters.errors import InspectionError

_LAYERS = {"Conv": "conv2d", "ConvTranspose": "conv_transpose2d", "Gemm": "linear", "MatMul": "linear"}


def read(path: Path) -> Contents:
    """Contents of the graph of `path`. Raises `InspectionError` if it is no ONNX file."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path)).graph
    except DecodeError:
        graph = onnx.GraphProto()
    if not graph.node:
        raise InspectionError(f"{path} is not an ONNX file: it holds no graph", "Convert the model again.")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    casts = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Cast"}

    unpacked = {node.output[0]: node for node in nodes if node.op_type == "DequantizeLinear"}

    def constant(name: str) -> Array | None:
        """The numbers that a stored tensor stands for: float, cast, or integers with scales."""
        node = unpacked.get(name)
        if node is None or node.input[0] not in constants:
            return constants.get(casts.get(name, name))
        return _dequantized(node, *(constants[slot] for slot in node.input))

    layers = []
    for node in nodes:
        if node.op_type not in _LAYERS or (weight := constant(node.input[1])) is None:
            continue
        bias = constant(node.input[2]) if len(node.input) > 2 else None
        layers.append(_layer(node, weight, bias, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}))
    ops = Counter(node.op_type for node in nodes)

    def spec(value: Any) -> TensorSpec:
        tensor = value.type.tensor_type
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
        return TensorSpec(value.name, shape, dtype)

    return Contents(
        layers=tuple(layers),
        params=_parameters(constants, list(unpacked.values())),
        ops=dict(ops),
        delegated=None,
        transposes=ops["Transpose"],
        inputs=tuple(spec(value) for value in graph.input if value.name not in constants),
        outputs=tuple(map(spec, graph.output)),
    )


def _dequantized(node: Any, stored: Array, scale: Array, zero: Array | None = None) -> Array:
    """(stored - zero point) * scale, along the axis of the scales."""
    import onnx

    axis = next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == "axis"), 1)
    shape = [-1 if i == axis % stored.ndim else 1 for i in range(stored.ndim)] if scale.ndim and scale.size > 1 else []
    offset = 0 if zero is None else zero.astype(np.float32).reshape(shape)
    dequantized: Array = (stored.astype(np.float32) - offset) * scale.reshape(shape)
    return dequantized


def _parameters(constants: dict[str, Array], unpacked: list[Any]) -> int:
    """Elements of all float constants and of the integers that stand for some; scales are none."""
    stored = {node.input[0] for node in unpacked if node.input[0] in constants}
    helpers = {name for node in unpacked for name in node.input[1:]}
    kept = {n: a for n, a in constants.items() if n not in helpers and (n in stored or a.dtype.kind == "f")}
    return sum(a.size for a in kept.values() if a.ndim)


def _layer(node: Any, weight: Array, bias: Array | None, attributes: dict[str, Any]) -> FileLayer:
    groups = attributes.get("group", 1)
    name = _LAYERS[node.op_type]
    if node.op_type == "Conv" and groups > 1 and weight.shape[1] == 1:
        name = "depthwise"
    elif node.op_type == "ConvTranspose":
        weight = transposed_weight(weight, groups)
    elif node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes.get("transB", 0)):
        weight = weight.T
    return FileLayer(name, weight, bias)
