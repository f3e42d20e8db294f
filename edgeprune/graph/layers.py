"""The layers that cost multiply-accumulates, with their channel axes written as sums over channel groups."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from edgeprune.graph.contractions import letters_of
from edgeprune.graph.record import Program
from edgeprune.graph.space import core
from edgeprune.graph.trace import bound, op_name

_PRODUCTS = ("matmul", "bmm", "mm", "einsum")
_OPS = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "conv2d"),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), "conv_transpose2d"),
    "linear": "linear",
}


@dataclass(frozen=True)
class AxisPart:
    """`channels` entries of a channel axis: those of one group, or (group None) channels that always stay."""

    group: str | None
    channels_per_unit: int
    channels: int


@dataclass(frozen=True)
class Layer:
    """One conv, depthwise, transposed conv, linear or matrix product in the forward. Sizes are the dense network's.

    `in_axis` is the axis of the weight that is summed over. `repeats` is how often the call's batch holds the network's
    batch (window attention: windows per image).
    A linear layer on tokens has in_hw = out_hw = (tokens, 1); a product with a parameter (matmul, einsum) is one.
    """

    name: str
    op: str
    weight: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    in_hw: tuple[int, int]
    out_hw: tuple[int, int]
    has_bias: bool
    in_parts: tuple[AxisPart, ...]
    out_parts: tuple[AxisPart, ...]
    repeats: int = 1
    in_axis: int = 1

    def macs(self, c_in: int, c_out: int) -> int:
        """Multiply-accumulates per example at these widths; a grouped conv keeps its channels per conv group."""
        dense_in = sum(part.channels for part in self.in_parts)
        per_group = dense_in // self.groups if self.groups > 1 else c_in
        height, width = self.in_hw if self.op == "conv_transpose2d" else self.out_hw
        return self.repeats * c_out * per_group * self.kernel[0] * self.kernel[1] * height * width


Parts = Callable[[Tensor], tuple[AxisPart, ...]]


def list_layers(
    program: Program, owners: dict[str, str], labels: dict[str, Any], parts: Parts, batch: int
) -> tuple[Layer, ...]:
    """Layers in execution order.

    `owners`: placeholder -> parameter name; `labels`: node -> label tensor; `parts`: label vector -> axis parts.
    Calls whose weight is computed rather than a parameter are left out, and products that sum over several axes.
    """
    layers: list[Layer] = []
    for node in program.graph.nodes:
        name = op_name(node) if node.op == "call_function" else ""
        if name in _PRODUCTS:
            layers.extend(_products(node, owners, labels, parts, batch))
        elif name in _OPS:
            args = bound(node)
            if args["weight"].name in owners:
                layers.append(_layer(node, args, owners[args["weight"].name], labels, parts, batch))
    return tuple(layers)


def _products(
    node: fx.Node, owners: dict[str, str], labels: dict[str, Any], parts: Parts, batch: int
) -> Iterator[Layer]:
    """A product of an activation with a parameter, as a linear layer."""
    factors, letters, out = letters_of(node) or ([], [], "")
    if len(factors) != 2:
        return
    pairs = list(zip(factors, letters, strict=True))
    for (weight, own), (x, other) in (pairs, pairs[::-1]):
        summed = [name for name in own if name in other and name not in out]
        made = [name for name in own if name in out and name not in other]
        if weight.name not in owners or x.name in owners or len(summed) != 1 or len(made) != 1:
            continue
        sizes: dict[str, int] = {}
        for letter, size in zip(own + other, (*weight.meta["val"].shape, *x.meta["val"].shape), strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
        tokens = max(1, _product(sizes.values()) // (sizes[summed[0]] * sizes[made[0]] * max(batch, 1)))
        into, made_of = _axis(labels[x.name], other.index(summed[0])), _axis(labels[node.name], out.index(made[0]))
        name, one, hw = owners[weight.name], (1, 1), (tokens, 1)
        yield Layer(
            name, "linear", name, one, one, (0, 0), one, 1, hw, hw, False, parts(into), parts(made_of),
            in_axis=own.index(summed[0]),
        )  # fmt: skip


def _layer(node: fx.Node, args: dict[str, Any], weight: str, labels: dict[str, Any], parts: Parts, batch: int) -> Layer:
    x, out = tuple(args["input"].meta["val"].shape), tuple(node.meta["val"].shape)
    shape = tuple(args["weight"].meta["val"].shape)
    op, groups = _OPS[op_name(node)], int(args.get("groups", 1))
    name = weight.rpartition(".")[0] or weight
    has_bias = args.get("bias") is not None
    if op == "linear":
        tokens, one = max(1, _product(x[:-1]) // max(batch, 1)), (1, 1)
        sides = [parts(_axis(labels[n.name], -1)) for n in (args["input"], node)]
        return Layer(name, op, weight, one, one, (0, 0), one, 1, (tokens, 1), (tokens, 1), has_bias, sides[0], sides[1])
    spatial = len(shape) - 2
    if op == "conv2d" and groups > 1:
        op = "depthwise" if groups == x[-spatial - 1] else "grouped"
    repeats = max(1, x[0] // max(batch, 1)) if len(x) == spatial + 2 else 1
    padding = args.get("padding", 0)
    if isinstance(padding, str):
        dilation = _pair(args["dilation"], 1)
        same = padding == "same"
        kernel = _pair(list(shape[2:]), 1)
        padding = [d * (k - 1) // 2 if same else 0 for d, k in zip(dilation, kernel, strict=True)]
    return Layer(
        name,
        op,
        weight,
        _pair(list(shape[2:]), 1),
        _pair(args["stride"], 1),
        _pair(padding, 0),
        _pair(args["dilation"], 1),
        groups,
        _pair(list(x[-spatial:]), 1),
        _pair(list(out[-spatial:]), 1),
        has_bias,
        parts(_axis(labels[args["input"].name], len(x) - spatial - 1)),
        parts(_axis(labels[node.name], len(out) - spatial - 1)),
        repeats,
        0 if op == "conv_transpose2d" else 1,
    )


def _axis(labels: Tensor, axis: int) -> Tensor:
    """The labels along one axis, taken at the first position of every other axis."""
    narrow = core(labels)[0].movedim(axis, 0)
    return narrow.reshape(narrow.size(0), -1)[:, 0].expand(labels.size(axis))


def _pair(value: Any, default: int) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else [int(v) for v in value]
    if len(values) == 1:
        return (default, values[0]) if not isinstance(value, int) else (values[0], values[0])
    return (_product(values[:-1]), values[-1])


def _product(values: Any) -> int:
    result = 1
    for value in values:
        result *= int(value)
    return result
