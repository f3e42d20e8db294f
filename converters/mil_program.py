"""The MIL program of a Core ML package: its operations, and its constants as NumPy arrays. Works without macOS.

Formats: coremltools' MIL.proto; MILBlob/Blob/StorageFormat.hpp for the weight file.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from converters.contents import Array
from converters.errors import InspectionError

_MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
_WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
_BLOB = struct.Struct("<IIQQ")  # mark, data type, bytes, offset of the data
_MARK = 0xDEADBEEF
_DTYPES = {  # MILSpec.DataType
    1: np.bool_, 10: np.float16, 11: np.float32, 12: np.float64,
    21: np.int8, 22: np.int16, 23: np.int32, 24: np.int64, 31: np.uint8, 32: np.uint16, 33: np.uint32,
}  # fmt: skip
_STRING = 2


class MilProgram:
    """The main function of `path`.

    `description` is Core ML's own, `inputs` are data types by name, `operations` are in order, constants left out.
    """

    def __init__(self, path: Path) -> None:
        from coremltools.proto import Model_pb2

        if not (path / _MODEL).is_file():
            raise InspectionError(f"{path} is not a Core ML package: it has no {_MODEL}", "Convert the model again.")
        model = Model_pb2.Model.FromString((path / _MODEL).read_bytes())
        if model.WhichOneof("Type") != "mlProgram":
            raise InspectionError(f"{path} holds no ML program", "Convert the model for iOS 16 or later.")
        self.description = model.description
        function = model.mlProgram.functions["main"]
        block = function.block_specializations[function.opset]
        self.inputs = {value.name: value.type.tensorType.dataType for value in function.inputs}
        self.outputs = list(block.outputs)
        self.operations = [op for op in block.operations if op.type != "const" and not op.type.startswith("constexpr_")]
        self.stored = {op.outputs[0].name: op for op in block.operations if op not in self.operations}
        self._blobs = (path / _WEIGHTS).read_bytes() if (path / _WEIGHTS).is_file() else b""
        self._arrays: dict[str, Any] = {}

    def constant(self, op: Any, slot: str) -> Any:
        """The constant given to `slot` of an operation: an array, a string, a list of them; None if there is none."""
        values = [self._bound(argument) for argument in op.inputs[slot].arguments] if slot in op.inputs else [None]
        return values[0] if len(values) == 1 else values

    def named(self, name: str) -> Any:
        """The constant of that name, decompressed; None if it is none."""
        if name not in self._arrays:
            op = self.stored.get(name)
            if op is None:
                return None
            self._arrays[name] = self.value(op.attributes["val"]) if op.type == "const" else self._decompressed(op)
        return self._arrays[name]

    def _bound(self, argument: Any) -> Any:
        return self.named(argument.name) if argument.WhichOneof("binding") == "name" else self.value(argument.value)

    def _decompressed(self, op: Any) -> Array:
        """Core ML's `constexpr` operations of iOS 16, as their documentation defines them."""

        def part(slot: str) -> Any:
            return self.value(op.attributes[slot]) if slot in op.attributes else self.constant(op, slot)

        if op.type == "constexpr_affine_dequantize":
            quantized, axis = part("quantized_data"), int(part("axis"))
            channels = [-1 if i == axis else 1 for i in range(quantized.ndim)]
            scale, zero = (np.asarray(part(slot)) for slot in ("scale", "zero_point"))
            scale, zero = (x.reshape(channels) if x.ndim else x for x in (scale, zero))
            dequantized: Array = (quantized.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
            return dequantized.astype(scale.dtype)
        if op.type == "constexpr_lut_to_dense":
            palette, shape = part("lut"), tuple(int(n) for n in part("shape"))
            bits = int(np.log2(len(palette)))
            each = np.unpackbits(part("indices"), bitorder="little")[: bits * int(np.prod(shape))].reshape(-1, bits)
            dense: Array = palette[each @ (1 << np.arange(bits))].reshape(shape)
            return dense
        raise InspectionError(f"no way to read {op.type}", "Use float16, int8 or palettised weights for iOS 16.")

    def value(self, value: Any) -> Any:
        """A constant's numbers: written into the program if they are few, else in the weight file."""
        kind = value.type.tensorType
        shape = tuple(dimension.constant.size for dimension in kind.dimensions)
        if value.WhichOneof("value") == "blobFileValue":
            mark, _, size, offset = _BLOB.unpack_from(self._blobs, value.blobFileValue.offset)
            if mark != _MARK or offset + size > len(self._blobs):
                raise InspectionError("the weight file of the Core ML package is damaged", "Convert the model again.")
            raw = self._blobs[offset : offset + size]
            return np.frombuffer(raw, _DTYPES[kind.dataType]).reshape(shape)
        tensor = value.immediateValue.tensor
        numbers = getattr(tensor, tensor.WhichOneof("value"))
        if kind.dataType == _STRING:
            return numbers.values[0].decode() if isinstance(numbers.values[0], bytes) else numbers.values[0]
        if isinstance(numbers.values, bytes):
            return np.frombuffer(numbers.values, _DTYPES[kind.dataType]).reshape(shape)
        return np.array(numbers.values, _DTYPES[kind.dataType]).reshape(shape)
