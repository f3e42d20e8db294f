"""A converted .tflite at other widths, without converting again: what its time depends on is its shapes.

The file's convolutions and linear layers are recognised by their weights, which batch-norm folding scales row by row
but does not turn. From the new number of outputs of each, the operators are walked in order: every tensor's new shape
follows from those it is computed from, and every constant that goes along with channels is cut to fit. Values are those
of the first channels: a reshaped file is to be timed, not to be believed.
"""

import copy
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from profilers.host.litert_flatbuffer import aligned_builder, schema

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
TOLERANCE = 1e-4

_OUTPUTS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0}  # axis of the weight
_TORCH = {"CONV_2D": (0, 3, 1, 2), "FULLY_CONNECTED": (0, 1), "DEPTHWISE_CONV_2D": (3, 0, 1, 2)}  # to (out, in, h, w)
_BINARY = {"ADD", "MUL", "SUB", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU"}
_UNARY = {
    "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH", "GELU", "ELU", "ABS", "NEG", "EXP", "SQRT",
    "RSQRT", "SQUARE", "SOFTMAX", "LOG_SOFTMAX",
}  # fmt: skip
_SPATIAL = {"MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}


class NotReshapable(ValueError):
    """This file has to be converted anew for other widths; the text says why."""


class Reshaper:
    """A float32 .tflite whose layers can get other widths."""

    def __init__(self, content: bytes, weights: Mapping[str, Array]) -> None:
        """`weights`: layer name -> its dense weight as torch has it, (out, in / groups, *kernel) or (out, in).

        Raises NotReshapable when a convolution or linear layer of the file is none of these, or could be two of them.
        """
        self._model = schema().ModelT.InitFromPackedBuf(bytearray(content), 0)
        if len(self._model.subgraphs) != 1:
            raise NotReshapable(f"the file has {len(self._model.subgraphs)} subgraphs")
        graph = self._model.subgraphs[0]
        self._tensors, self._operators = graph.tensors, graph.operators
        self._part_constants()
        self._codes = [_code(code) for code in self._model.operatorCodes]
        self._shapes = [_shape(tensor) for tensor in self._tensors]
        self._data = {index: data for index in range(len(self._tensors)) if (data := self._constant(index)) is not None}
        self._options = [copy.copy(operator.builtinOptions) for operator in self._operators]
        self._layers = self._recognise(weights)

    def file(self, outputs: Mapping[str, int]) -> bytes:
        """The file in which each layer has `outputs[name]` output channels (missing: as many as before).

        Raises NotReshapable when an operator does with channels what is not known here.
        """
        walk = _Walk(self._tensors, self._shapes, self._data)
        for position, operator in enumerate(self._operators):
            operator.builtinOptions = copy.copy(self._options[position])
            layer = self._layers.get(position)
            op = self._codes[operator.opcodeIndex]
            try:
                walk.step(op, operator, None if layer is None else outputs.get(layer))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                if isinstance(error, NotReshapable):
                    raise
                where = _name(self._tensors[operator.outputs[0]])
                raise NotReshapable(f"{op} at {where} has a form that is not known here: {error}") from error
        for index, tensor in enumerate(self._tensors):
            tensor.shape = np.array(walk.shapes[index], np.int32) if len(self._shapes[index]) else tensor.shape
            if tensor.shapeSignature is not None and len(tensor.shapeSignature):
                tensor.shapeSignature = tensor.shape
            if index in self._data:
                data = np.ascontiguousarray(walk.data[index])
                self._model.buffers[tensor.buffer].data = data.reshape(-1).view(np.uint8)
        builder = aligned_builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _part_constants(self) -> None:
        """Every reader of a constant gets its own: equal ones are stored once, and may need different shapes."""
        tensors: set[int] = set()
        buffers: set[int] = set()
        for operator in self._operators:
            for slot, index in enumerate(operator.inputs):
                if index < 0 or not _filled(self._model.buffers[self._tensors[index].buffer]):
                    continue
                if index in tensors:
                    self._tensors.append(copy.copy(self._tensors[index]))
                    index = operator.inputs[slot] = len(self._tensors) - 1
                tensor = self._tensors[index]
                if tensor.buffer in buffers:
                    self._model.buffers.append(copy.copy(self._model.buffers[tensor.buffer]))
                    tensor.buffer = len(self._model.buffers) - 1
                tensors.add(int(index))
                buffers.add(int(tensor.buffer))

    def _constant(self, index: int) -> Array | None:
        tensor = self._tensors[index]
        if not _filled(self._model.buffers[tensor.buffer]):
            return None
        data = self._model.buffers[tensor.buffer].data
        names = {value: name.lower() for name, value in vars(schema().TensorType).items() if not name.startswith("_")}
        kind = names[tensor.type]
        if kind not in ("float32", "int32", "int64", "bool"):
            raise NotReshapable(f"{_name(tensor)} holds {kind} numbers")
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), kind).reshape(self._shapes[index])

    def _recognise(self, weights: Mapping[str, Array]) -> dict[int, str]:
        """Position of an operator -> the layer that it is."""
        directions = {name: _rows(weight) for name, weight in weights.items()}
        found: dict[int, str] = {}
        for position, operator in enumerate(self._operators):
            op = self._codes[operator.opcodeIndex]
            if op not in _OUTPUTS:
                continue
            weight = self._data.get(operator.inputs[1])
            if weight is None or op not in _TORCH:
                raise NotReshapable(f"{op} at {_name(self._tensors[operator.outputs[0]])} has no weight of its own")
            rows = _rows(weight.transpose(_TORCH[op]))
            same = [
                name
                for name, other in directions.items()
                if rows.shape == other.shape and bool(np.abs(rows - other).max() < TOLERANCE)
            ]
            if len(same) != 1:
                text = f"could be {' or '.join(same)}" if same else "is no layer of the network"
                raise NotReshapable(f"{op} at {_name(self._tensors[operator.outputs[0]])} {text}")
            found[position] = same[0]
        return found


class _Walk:
    """New shapes and constants, operator by operator."""

    def __init__(self, tensors: list[Any], dense: list[Shape], data: Mapping[int, Array]) -> None:
        self.tensors, self.dense, self.shapes, self.data = tensors, dense, list(dense), dict(data)

    def step(self, op: str, operator: Any, outputs: int | None) -> None:
        """Shape the outputs of one operator, and cut the constants that it reads."""
        inputs, out = [int(i) for i in operator.inputs], int(operator.outputs[0])
        rule = _RULES.get(op)
        if rule is not None:
            rule(self, operator, inputs, out, outputs)
        elif any(self.changed(i) for i in inputs if i >= 0):
            raise NotReshapable(f"{op} at {_name(self.tensors[out])} is not known here")

    def changed(self, index: int) -> bool:
        return self.shapes[index] != self.dense[index]

    def cut(self, index: int, shape: Shape) -> None:
        """Give a constant another shape: its first entries along each axis."""
        if shape == self.shapes[index]:
            return
        dense = self.data[index]
        wraps = [(0, max(0, n - m)) for n, m in zip(shape, dense.shape, strict=True)]
        grown = np.pad(dense, wraps, mode="wrap") if any(w for _, w in wraps) else dense
        self.data[index] = grown[tuple(slice(n) for n in shape)]
        self.shapes[index] = shape

    def replace(self, index: int, values: Shape) -> None:
        """Give a constant of shape numbers other values."""
        self.data[index] = np.array(values, self.data[index].dtype).reshape(self.dense[index])


def _conv(walk: _Walk, _: Any, inputs: list[int], out: int, outputs: int | None) -> None:
    source, weight = inputs[:2]
    old = walk.dense[weight]
    grouped = old[3] != walk.dense[source][3]
    channels = old[0] if outputs is None else outputs
    walk.cut(weight, (channels, *old[1:3], old[3] if grouped else walk.shapes[source][3]))
    _bias(walk, inputs, channels)
    walk.shapes[out] = (*walk.dense[out][:3], channels)


def _depthwise(walk: _Walk, operator: Any, inputs: list[int], out: int, outputs: int | None) -> None:
    source, weight = inputs[:2]
    old, read = walk.dense[weight], walk.shapes[source][3]
    channels = read * old[3] // walk.dense[source][3] if outputs is None else outputs
    if channels % read:
        raise NotReshapable(f"DEPTHWISE_CONV_2D at {_name(walk.tensors[out])} makes {channels} channels of {read}")
    operator.builtinOptions.depthMultiplier = channels // read
    walk.cut(weight, (*old[:3], channels))
    _bias(walk, inputs, channels)
    walk.shapes[out] = (*walk.dense[out][:3], channels)


def _linear(walk: _Walk, _: Any, inputs: list[int], out: int, outputs: int | None) -> None:
    source, weight = inputs[:2]
    old = walk.dense[weight]
    if walk.dense[source][-1] != old[1]:
        raise NotReshapable(f"FULLY_CONNECTED at {_name(walk.tensors[out])} flattens its input")
    channels = old[0] if outputs is None else outputs
    walk.cut(weight, (channels, walk.shapes[source][-1]))
    _bias(walk, inputs, channels)
    walk.shapes[out] = (*walk.shapes[source][: len(walk.dense[out]) - 1], channels)


def _bias(walk: _Walk, inputs: list[int], channels: int) -> None:
    if len(inputs) > 2 and inputs[2] >= 0:
        walk.cut(inputs[2], (*walk.dense[inputs[2]][:-1], channels))  # some biases are stored as (1, 1, 1, channels)


def _same(walk: _Walk, _: Any, inputs: list[int], out: int, __: int | None) -> None:
    walk.shapes[out] = walk.shapes[inputs[0]]


def _map(walk: _Walk, _: Any, inputs: list[int], out: int, __: int | None) -> None:
    walk.shapes[out] = (*walk.dense[out][:3], walk.shapes[inputs[0]][3])


def _binary(walk: _Walk, _: Any, inputs: list[int], out: int, __: int | None) -> None:
    rank = len(walk.dense[out])
    new = list(walk.dense[out])
    for axis in range(-rank, 0):
        sizes = {walk.shapes[i][axis] for i in inputs if i not in walk.data and -axis <= len(walk.shapes[i])}
        sizes.discard(1)
        if len(sizes) > 1:
            raise NotReshapable(f"widths {sorted(sizes)} meet at {_name(walk.tensors[out])}")
        if sizes:
            new[axis] = sizes.pop()
    for i in inputs:
        if i in walk.data and walk.dense[i]:
            fit = new[rank - len(walk.dense[i]) :]
            walk.cut(i, tuple(1 if old == 1 else now for old, now in zip(walk.dense[i], fit, strict=True)))
    walk.shapes[out] = tuple(new)


def _pad(walk: _Walk, _: Any, inputs: list[int], out: int, __: int | None) -> None:
    source = inputs[0]
    extra = [after - before for after, before in zip(walk.dense[out], walk.dense[source], strict=True)]
    if any(e and now != old for e, now, old in zip(extra, walk.shapes[source], walk.dense[source], strict=True)):
        raise NotReshapable(f"PAD at {_name(walk.tensors[out])} pads channels")
    walk.shapes[out] = tuple(now + e for now, e in zip(walk.shapes[source], extra, strict=True))


def _mean(walk: _Walk, operator: Any, inputs: list[int], out: int, __: int | None) -> None:
    shape, axes = (
        walk.shapes[inputs[0]],
        {int(a) % len(walk.dense[inputs[0]]) for a in walk.data[inputs[1]].reshape(-1)},
    )
    kept = operator.builtinOptions.keepDims
    walk.shapes[out] = tuple(1 if i in axes else n for i, n in enumerate(shape) if kept or i not in axes)


def _transpose(walk: _Walk, _: Any, inputs: list[int], out: int, __: int | None) -> None:
    walk.shapes[out] = tuple(walk.shapes[inputs[0]][int(axis)] for axis in walk.data[inputs[1]])


def _concat(walk: _Walk, operator: Any, inputs: list[int], out: int, __: int | None) -> None:
    axis = operator.builtinOptions.axis % len(walk.dense[out])
    new = list(walk.shapes[inputs[0]])
    new[axis] = sum(walk.shapes[i][axis] for i in inputs)
    walk.shapes[out] = tuple(new)


def _slice(walk: _Walk, _: Any, inputs: list[int], out: int, __: int | None) -> None:
    source, begin, size = inputs
    old, new = walk.dense[source], walk.shapes[source]
    starts = [int(b) for b in walk.data[begin].reshape(-1)]
    ends = [b + n for b, n in zip(starts, walk.dense[out], strict=True)]
    scaled = [(b * n // o, e * n // o) for b, e, n, o in zip(starts, ends, new, old, strict=True)]
    walk.replace(begin, tuple(b for b, _ in scaled))
    walk.replace(size, tuple(e - b for b, e in scaled))
    walk.shapes[out] = tuple(e - b for b, e in scaled)


def _reshape(walk: _Walk, operator: Any, inputs: list[int], out: int, __: int | None) -> None:
    new = reshaped(walk.dense[inputs[0]], walk.shapes[inputs[0]], walk.dense[out])
    if new is None:
        raise NotReshapable(f"RESHAPE at {_name(walk.tensors[out])} mixes axes")
    walk.shapes[out] = new
    if new != walk.dense[out] and len(inputs) > 1:
        walk.replace(inputs[1], new)
    if new != walk.dense[out] and operator.builtinOptions is not None:
        operator.builtinOptions.newShape = list(new)


def reshaped(old: Shape, new: Shape, target: Shape) -> Shape | None:
    """What `target`, once a reshape of `old`, becomes for `new`; None when that cannot be told.

    Both shapes fall into blocks of equal product. In a block that changes, axes that are merged multiply; of an axis
    that is split, the last part changes.
    """
    result = list(target)
    ins, outs = ([axis for axis, n in enumerate(shape) if n != 1] for shape in (old, target))
    while ins and outs:
        left, right = [ins.pop(0)], [outs.pop(0)]
        while (before := prod(old[a] for a in left)) != (after := prod(target[a] for a in right)):
            short, rest = (left, ins) if before < after else (right, outs)
            if not rest:
                return None
            short.append(rest.pop(0))
        now = prod(new[a] for a in left)
        if (target[right[-1]] * now) % before:
            return None
        result[right[-1]] = target[right[-1]] * now // before
    return None if ins or outs else tuple(result)


_Rule = Callable[[_Walk, Any, list[int], int, int | None], None]
_RULES: dict[str, _Rule] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _linear,
    "PAD": _pad,
    "PADV2": _pad,
    "MEAN": _mean,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concat,
    "SLICE": _slice,
    "RESHAPE": _reshape,
    **dict.fromkeys(_SPATIAL, _map),
    **dict.fromkeys(_UNARY, _same),
    **dict.fromkeys(_BINARY, _binary),
}


def _rows(weight: Array) -> Array:
    """The direction of each output's weights: (out, everything else), of length 1, its largest entry positive."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)
    return np.asarray(rows * np.where(largest < 0, -1.0, 1.0))


def _filled(buffer: Any) -> bool:
    return buffer.data is not None and len(buffer.data) > 0


def _shape(tensor: Any) -> Shape:
    return () if tensor.shape is None else tuple(int(n) for n in tensor.shape)


def _name(tensor: Any) -> str:
    name: str = tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name)
    return name.split(";")[0]


def _code(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    names: dict[int, str] = {value: name for name, value in vars(schema().BuiltinOperator).items() if name.isupper()}
    return names[number]
