"""Read a Core ML package (.mlpackage): the MIL program and its weight file. Works without macOS."""

import struct
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from converters.artifact import TensorSpec
from converters.contents import Array, Contents, FileLayer, transposed_weight
from converters.errors import InspectionError

_MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
_WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
_LAYERS = {"conv": "conv2d", "conv_transpose": "conv_transpose2d", "linear": "linear"}
_FLOAT32 = 11  # MILSpec.DataType.FLOAT32
_BLOB = struct.Struct("<IIQQ")  # mark, data type, bytes, offset of the data (MILBlob, StorageFormat.hpp)
_MARK = 0xDEADBEEF


def read(path: Path) -> Contents:
    """Contents of the main function of `path`. Raises `InspectionError` if it is no Core ML package."""
    from coremltools.proto import FeatureTypes_pb2, Model_pb2

    if not (path / _MODEL).is_file():
        raise InspectionError(f"{path} is not a Core ML package: it has no {_MODEL}", "Convert the model again.")
    model = Model_pb2.Model.FromString((path / _MODEL).read_bytes())
    function = model.mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    blobs = (path / _WEIGHTS).read_bytes() if (path / _WEIGHTS).is_file() else b""
    constants = {op.outputs[0].name: op.attributes["val"] for op in operations if op.type == "const"}

    def constant(op: Any, slot: str) -> Array | None:
        if slot not in op.inputs:
            return None
        argument = op.inputs[slot].arguments[0]
        value = constants.get(argument.name) if argument.WhichOneof("binding") == "name" else argument.value
        return None if value is None else _array(value, blobs)

    layers = []
    for op in operations:
        if op.type not in _LAYERS or (weight := constant(op, "weight")) is None:
            continue
        groups = constant(op, "groups")
        depthwise = op.type == "conv" and groups is not None and int(groups) > 1 and weight.shape[1] == 1
        if op.type == "conv_transpose":
            weight = transposed_weight(weight, groups=1 if groups is None else int(groups))
        layers.append(FileLayer("depthwise" if depthwise else _LAYERS[op.type], weight, constant(op, "bias")))
    ops = Counter(op.type for op in operations if op.type != "const")
    dtypes = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType

    def spec(feature: Any) -> TensorSpec:
        array = feature.type.multiArrayType
        return TensorSpec(feature.name, tuple(array.shape), dtypes.Name(array.dataType).lower())

    return Contents(
        layers=tuple(layers),
        params=sum(prod(_shape(value)) for value in constants.values() if _is_float(value) and _shape(value)),
        ops=dict(ops),
        delegated=None,
        transposes=ops["transpose"],
        inputs=tuple(map(spec, model.description.input)),
        outputs=tuple(map(spec, model.description.output)),
    )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(dimension.constant.size for dimension in value.type.tensorType.dimensions)


def _is_float(value: Any) -> bool:
    return bool(value.type.tensorType.dataType == _FLOAT32)


def _array(value: Any, blobs: bytes) -> Array | None:
    """A constant's numbers: written into the program if they are few, else in the weight file."""
    if value.WhichOneof("value") == "blobFileValue":
        mark, _, size, offset = _BLOB.unpack_from(blobs, value.blobFileValue.offset)
        if mark != _MARK or offset + size > len(blobs):
            raise InspectionError("the weight file of the Core ML package is damaged", "Convert the model again.")
        return np.frombuffer(blobs, np.float32, count=size // 4, offset=offset).reshape(_shape(value))
    tensor = value.immediateValue.tensor
    numbers = getattr(tensor, tensor.WhichOneof("value"), None)
    return None if numbers is None else np.array(numbers.values).reshape(_shape(value))
