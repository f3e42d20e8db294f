"""Read a LiteRT file (.tflite): the flatbuffer itself, no interpreter."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from converters.artifact import TensorSpec
from converters.contents import Array, Contents, FileLayer
from converters.errors import InspectionError

_LAYERS = {  # operator -> (our name, input slot of the weight, axes of the weight that give outputs, inputs, h, w)
    "CONV_2D": ("conv2d", 1, (0, 3, 1, 2)),
    "DEPTHWISE_CONV_2D": ("depthwise", 1, (3, 0, 1, 2)),
    "TRANSPOSE_CONV": ("conv_transpose2d", 1, (0, 3, 1, 2)),
    "FULLY_CONNECTED": ("linear", 1, (0, 1)),
}


def read(path: Path) -> Contents:
    """Contents of the first signature of `path`. Raises `InspectionError` if it is no LiteRT file."""
    from ai_edge_litert import schema_py_generated as schema

    raw = path.read_bytes()
    if raw[4:8] != b"TFL3":
        raise InspectionError(
            f"{path} is not a LiteRT file: it does not carry the mark TFL3", "Convert the model again."
        )
    model = schema.ModelT.InitFromPackedBuf(bytearray(raw), 0)
    op_names = _names(schema.BuiltinOperator)
    dtypes = {value: name.lower() for value, name in _names(schema.TensorType).items()}
    graph = model.subgraphs[0]

    def name_of(operator: Any) -> str:
        code = model.operatorCodes[operator.opcodeIndex]
        return op_names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    unpacked = {op.outputs[0]: op.inputs[0] for op in graph.operators if name_of(op) == "DEQUANTIZE"}

    def constant(index: int) -> Array | None:
        """The numbers that a stored tensor stands for: float, or integers with scales, unpacked at load or not."""
        tensor = graph.tensors[unpacked.get(index, index)]
        data = model.buffers[tensor.buffer].data if index >= 0 else None
        if data is None or not _is_parameter(tensor):
            return None
        stored = np.frombuffer(data.tobytes(), dtypes[tensor.type]).reshape(tensor.shape)
        return _dequantized(stored, tensor.quantization)

    def _is_parameter(tensor: Any) -> bool:
        return dtypes[tensor.type].startswith("float") or _scales(tensor.quantization) is not None

    ops: Counter[str] = Counter()
    layers = []
    for operator in graph.operators:
        op = name_of(operator)
        ops[op] += 1
        if op not in _LAYERS:
            continue
        name, slot, axes = _LAYERS[op]
        weight = constant(operator.inputs[slot])
        if weight is None:
            continue
        bias_slot = 3 if op == "TRANSPOSE_CONV" else 2
        bias = constant(operator.inputs[bias_slot]) if len(operator.inputs) > bias_slot else None
        layers.append(FileLayer(name, weight.transpose(axes), bias))
    parameters = {
        tensor.buffer: int(np.prod(tensor.shape))
        for tensor in graph.tensors
        if _is_parameter(tensor) and len(tensor.shape) and model.buffers[tensor.buffer].data is not None
    }

    def spec(name: bytes, index: int) -> TensorSpec:
        tensor = graph.tensors[index]
        return TensorSpec(name.decode(), tuple(int(n) for n in tensor.shape), dtypes[tensor.type])

    def specs(indices: Any, signature_maps: Any) -> tuple[TensorSpec, ...]:
        names = {m.tensorIndex: m.name for m in signature_maps}
        found = [spec(names.get(i, graph.tensors[i].name), i) for i in indices]
        return tuple(sorted(found, key=lambda s: _number(s.name)))

    signature = model.signatureDefs[0] if model.signatureDefs else None
    return Contents(
        layers=tuple(layers),
        params=sum(parameters.values()),
        ops=dict(ops),
        delegated=None,
        transposes=ops["TRANSPOSE"],
        inputs=specs(graph.inputs, signature.inputs if signature else ()),
        outputs=specs(graph.outputs, signature.outputs if signature else ()),
    )


def _scales(quantization: Any) -> Array | None:
    scale = None if quantization is None else quantization.scale
    return None if scale is None or not len(scale) else np.asarray(scale, np.float32)


def _dequantized(stored: Array, quantization: Any) -> Array:
    """(stored - zero point) * scale, along the axis of the scales."""
    scales = _scales(quantization)
    if scales is None or stored.dtype.kind == "f":
        return stored
    shape = [len(scales) if i == quantization.quantizedDimension else 1 for i in range(stored.ndim)]
    zero = np.asarray(quantization.zeroPoint).reshape(shape if len(scales) > 1 else -1)
    dequantized: Array = (stored - zero).astype(np.float32) * scales.reshape(shape if len(scales) > 1 else -1)
    return dequantized


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def _number(name: str) -> int:
    """args_10 -> 10: the file lists its tensors in an order of its own."""
    digits = re.search(r"(\d+)$", name)
    return int(digits[1]) if digits else 0
