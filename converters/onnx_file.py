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

    def constant(name: str) -> Array | None:
        return constants.get(casts.get(name, name))

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
        params=sum(a.size for a in constants.values() if a.ndim and np.issubdtype(a.dtype, np.floating)),
        ops=dict(ops),
        delegated=None,
        transposes=ops["Transpose"],
        inputs=tuple(spec(value) for value in graph.input if value.name not in constants),
        outputs=tuple(map(spec, graph.output)),
    )


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
