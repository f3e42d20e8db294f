"""Read an ExecuTorch file (.pte): the program, and inside it the graphs that were handed to XNNPACK."""

import importlib.resources
import json
import re
import tempfile
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from converters.artifact import TensorSpec
from converters.contents import Array, Contents, FileLayer
from converters.errors import InspectionError

_LAYERS = {  # node of XNNPACK's graph -> (our name, axes of the weight that give outputs, inputs, height, width)
    "XNNConv2d": ("conv2d", (0, 3, 1, 2)),
    "XNNDepthwiseConv2d": ("depthwise", (3, 0, 1, 2)),
    "XNNConvTranspose2d": ("conv_transpose2d", (0, 3, 1, 2)),
    "XNNFullyConnected": ("linear", (0, 1)),
}


def read(path: Path) -> Contents:
    """Contents of the forward method of `path`. Raises `InspectionError` if it is no ExecuTorch file."""
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import DelegateCall, KernelCall, Tensor

    raw = path.read_bytes()
    if raw[4:6] != b"ET":
        raise InspectionError(f"{path} is not an ExecuTorch file: it does not carry the mark ET", "Convert it again.")
    file = deserialize_pte_binary(raw)
    program, named = file.program, file.named_data
    plan = program.execution_plan[0]
    store = {} if named is None else {k: bytes(named.buffers[e.buffer_index]) for k, e in named.pte_data.items()}

    outside: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    layers: list[FileLayer] = []
    constants: dict[str, int] = {}
    for instruction in plan.chains[0].instructions:
        call = instruction.instr_args
        if isinstance(call, KernelCall):
            outside[plan.operators[call.op_index].name] += 1
        elif isinstance(call, DelegateCall):
            delegate = plan.delegates[call.delegate_index]
            if delegate.id != "XnnpackBackend":
                inside[delegate.id] += 1
                continue
            graph = _XnnpackGraph(program.backend_delegate_data[delegate.processed.index].data, store)
            inside.update(graph.ops)
            layers += graph.layers
            constants |= graph.constants
    for value in plan.values:
        tensor = value.val
        if (
            isinstance(tensor, Tensor)
            and tensor.data_buffer_idx
            and tensor.sizes
            and tensor.scalar_type.name == "FLOAT"
        ):
            constants[f"buffer {tensor.data_buffer_idx}"] = prod(tensor.sizes)

    def spec(index: int, name: str) -> TensorSpec:
        tensor = plan.values[index].val
        return TensorSpec(
            name, tuple(tensor.sizes), _DTYPES.get(tensor.scalar_type.name, tensor.scalar_type.name.lower())
        )

    return Contents(
        layers=tuple(layers),
        params=sum(constants.values()),
        ops=dict(outside + inside),
        delegated=dict(inside),
        transposes=inside["XNNStaticTranspose"] + outside["aten::permute_copy"] + outside["aten::transpose_copy"],
        inputs=tuple(spec(index, f"args_{i}") for i, index in enumerate(plan.inputs)),
        outputs=tuple(spec(index, f"output_{i}") for i, index in enumerate(plan.outputs)),
    )


_DTYPES = {"FLOAT": "float32", "DOUBLE": "float64", "HALF": "float16", "LONG": "int64", "INT": "int32"}


_STORED = {  # XNNPACK's data types of weights and biases
    "xnn_datatype_fp32": np.float32,
    "xnn_datatype_fp16": np.float16,
    "xnn_datatype_qint8": np.int8,
    "xnn_datatype_qcint8": np.int8,
    "xnn_datatype_qint32": np.int32,
    "xnn_datatype_qcint32": np.int32,
}


class _XnnpackGraph:
    """One delegate payload: a header and a flatbuffer; its constants are kept under names in the file."""

    def __init__(self, payload: bytes, store: dict[str, bytes]) -> None:
        graph = _decode(payload)
        self._values: dict[int, dict[str, Any]] = {}
        for value in graph["xvalues"]:
            union = value["xvalue_union"]
            tensor = union.get("tensor_value", union)
            self._values[tensor["id_out"]] = {**tensor, "quant": union.get("quant_params")}
        self._keys = [entry["named_key"] for entry in graph["constant_data"]]
        self._store = store
        self.ops = Counter(node["xnode_union_type"].removeprefix("_") for node in graph["xnodes"])
        self.layers = [
            layer for node in graph["xnodes"] if (layer := self._layer(node["xnode_union_type"], node["xnode_union"]))
        ]
        self.constants = {
            self._keys[tensor["constant_buffer_idx"]]: prod(tensor["dims"])
            for tensor in self._values.values()
            if tensor["constant_buffer_idx"] and tensor["num_dims"] and tensor["datatype"] in _STORED
        }

    def _layer(self, node_type: str, node: dict[str, Any]) -> FileLayer | None:
        if node_type not in _LAYERS:
            return None
        name, axes = _LAYERS[node_type]
        weight = self._constant(node["filter_id"])
        return None if weight is None else FileLayer(name, weight.transpose(axes), self._constant(node["bias_id"]))

    def _constant(self, value_id: int) -> Array | None:
        """The numbers that a stored tensor stands for: float, or integers with scales."""
        tensor = self._values.get(value_id)
        if tensor is None or not tensor["constant_buffer_idx"] or tensor["datatype"] not in _STORED:
            return None
        dims = tensor["dims"]
        stored = self._buffer(tensor["constant_buffer_idx"], _STORED[tensor["datatype"]], prod(dims)).reshape(dims)
        quant = tensor["quant"]
        if quant is None:
            return stored
        if "channel_dim" not in quant:
            per_tensor: Array = (stored - quant["zero_point"]).astype(np.float32) * np.float32(quant["scale"])
            return per_tensor
        scales = self._buffer(quant["scale_buffer_idx"], np.float32, quant["num_scales"])
        shape = [-1 if axis == quant["channel_dim"] else 1 for axis in range(stored.ndim)]
        dequantized: Array = stored.astype(np.float32) * scales.reshape(shape)
        return dequantized

    def _buffer(self, index: int, dtype: Any, count: int) -> Array:
        return np.frombuffer(self._store[self._keys[index]], dtype, count=count)


def _decode(payload: bytes) -> dict[str, Any]:
    """The flatbuffer of a payload as JSON, by the flatc that comes with ExecuTorch."""
    from executorch.backends.xnnpack import serialization
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    end = header.flatbuffer_offset + header.flatbuffer_size
    with tempfile.TemporaryDirectory() as folder:
        schema, binary = Path(folder, "schema.fbs"), Path(folder, "graph.bin")
        schema.write_bytes(importlib.resources.files(serialization).joinpath("schema.fbs").read_bytes())
        binary.write_bytes(payload[header.flatbuffer_offset : end])
        _flatc_decompile(folder, str(schema), str(binary), ["--raw-binary"])
        text = Path(folder, "graph.json").read_text()
    # flatc writes inf and nan, Python's JSON reads Infinity and NaN
    text = re.sub(r'(": -?)(inf|nan)\b', lambda m: m[1] + {"inf": "Infinity", "nan": "NaN"}[m[2]], text)
    decoded: dict[str, Any] = json.loads(text)
    return decoded
