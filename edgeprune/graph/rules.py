"""What each kind of ATen op does to labels: one function a kind, called through the table in labels.py."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph.space import (
    ANY,
    FIXED,
    LabelSpace,
    compact,
    core,
    spread,
    uniform,
    varies,
)
from edgeprune.graph.trace import bound, op_name, source_of

Labels = Any  # a label tensor, a tuple of them, or None for what is no tensor


@dataclass
class Call:
    """One node of the graph as a rule sees it: arguments by name, their labels, and the parameters among them."""

    space: LabelSpace
    node: fx.Node
    env: dict[fx.Node, Labels]
    owners: dict[fx.Node, str]

    def __post_init__(self) -> None:
        self.args = bound(self.node)
        self.where = source_of(self.node)

    def labels(self, name: str) -> Tensor:
        """Labels of a tensor argument. A parameter read directly gets a label per element."""
        result = self.of(self.args[name])
        assert isinstance(result, Tensor), f"{name} of {self.where} is no tensor"
        return result

    def of(self, node: fx.Node) -> Labels:
        if node not in self.owners:
            return self.env[node]
        shape = tuple(node.meta["val"].shape)
        if math.prod(shape) == 1:
            return uniform(ANY, shape)
        return compact(self.space.issue(self.owners[node], None, shape))

    def axis(self, name: str, axis: int, *, producer: bool = False) -> Tensor | None:
        """Labels of one axis of a parameter argument; None if the argument is absent or computed."""
        node = self.args.get(name)
        if not isinstance(node, fx.Node) or node not in self.owners:
            return None
        return self.space.issue(self.owners[node], axis, tuple(node.meta["val"].shape), producer=producer)

    def tensors(self) -> list[fx.Node]:
        """Tensor inputs in order, list arguments included."""
        return [n for n in self.node.all_input_nodes if isinstance(n.meta.get("val"), Tensor)]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.node.meta["val"].shape)


Rule = Callable[[Call], Labels]


def unknown(call: Call) -> Labels:
    """An op without a rule: freeze what enters, and say so."""
    for node in call.tensors():
        call.space.freeze(call.of(node), f"enters {call.where}, an op without a label rule")
    for node in call.node.all_input_nodes:
        if isinstance(call.env.get(node), tuple):
            for part in call.env[node]:
                call.space.freeze(part, f"enters {call.where}, an op without a label rule")
    return fixed(call)


def fixed(call: Call) -> Labels:
    """A constant: its size is written in the code."""
    value = call.node.meta.get("val")
    if isinstance(value, Tensor):
        return uniform(FIXED if value.numel() > 1 else ANY, tuple(value.shape))
    if isinstance(value, (tuple, list)):
        return tuple(uniform(FIXED, tuple(v.shape)) if isinstance(v, Tensor) else None for v in value)
    return None


def like(call: Call) -> Labels:
    """A constant shaped like its input, and so as wide as it."""
    return call.of(call.tensors()[0])


def move(call: Call) -> Labels:
    """Data movement: the same op on the labels. A slice of the channels keeps the share that the whole keeps."""
    name, args = op_name(call.node), dict(call.args)

    def labels_of(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return call.of(value)
        return [labels_of(v) for v in value] if isinstance(value, (list, tuple)) else value

    if name in {"contiguous", "clone", "alias", "detach", "lift_fresh_copy"}:
        return call.of(call.tensors()[0])
    if name == "cat":
        return _cat([labels_of(v) for v in args["tensors"]], args["dim"])
    if name in {"view", "reshape", "_unsafe_view", "unflatten"}:
        return _view(call, call.labels("self"), call.shape)
    moved = call.node.target(*labels_of(list(call.node.args)), **{k: labels_of(v) for k, v in call.node.kwargs.items()})  # type: ignore[operator]
    parts = list(moved) if isinstance(moved, (list, tuple)) else [moved]
    parts = [compact(part) for part in parts]
    if name in _SHARES:
        _proportions(call, parts, args)
    return tuple(parts) if isinstance(moved, (list, tuple)) else parts[0]


_SHARES = {"chunk", "split", "split_with_sizes", "slice", "narrow", "tensor_split", "unsafe_split", "unsafe_chunk"}


def _cat(parts: list[Tensor], dim: int) -> Tensor:
    parts = [p for p in parts if p.numel()]
    dim %= parts[0].dim()
    shape = list(parts[0].shape)
    shape[dim] = sum(p.size(dim) for p in parts)
    constant = [d for d in range(len(shape)) if d != dim and not any(varies(p, d) for p in parts)]
    for axis in constant:
        parts = [p.narrow(axis, 0, 1) for p in parts]
    return compact(torch.cat(parts, dim)).expand(shape)


def _view(call: Call, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Splitting a channel axis makes a grid; its units are the entries of the innermost factor, across the others."""
    before = sum(varies(labels, d) for d in range(labels.dim()))
    result = compact(labels.reshape(shape))
    axes = [d for d in range(result.dim()) if varies(result, d)]
    if before and len(axes) > before:
        for axis in axes[: len(axes) - before]:
            first = result.narrow(axis, 0, 1)
            call.space.tie(first.expand(result.shape), result, call.where)
    return result


def _proportions(call: Call, parts: list[Tensor], args: dict[str, Any]) -> None:
    whole = call.labels("self")
    dim = int(args.get("dim", 0)) % whole.dim()
    if not varies(whole, dim):
        return
    line = core(whole)[0].movedim(dim, -1).reshape(-1, whole.size(dim))
    for part in parts:
        share = core(part)[0].movedim(dim, -1)
        share = share.expand(*share.shape[:-1], part.size(dim)).reshape(-1, part.size(dim))
        if share.shape[0] == line.shape[0]:
            for segment, total in zip(share, line, strict=True):
                call.space.proportion(segment, total, call.where)
        else:
            call.space.freeze(whole, f"is sliced along two channel axes in {call.where}")


def getitem(call: Call) -> Labels:
    container, index = call.node.args
    assert isinstance(container, fx.Node)
    return call.env[container][index]


def pad(call: Call) -> Labels:
    """Padding in space keeps the channels; padding along the channels adds fixed ones."""
    labels, amounts = call.labels("self"), list(call.args["pad"])
    for pair in range(len(amounts) // 2):
        axis, (low, high) = labels.dim() - 1 - pair, amounts[2 * pair : 2 * pair + 2]
        shape = list(labels.shape)
        if varies(labels, axis) and (low > 0 or high > 0):
            sides = [list(shape) for _ in range(2)]
            sides[0][axis], sides[1][axis] = max(low, 0), max(high, 0)
            labels = _cat([uniform(FIXED, tuple(sides[0])), labels, uniform(FIXED, tuple(sides[1]))], axis)
        elif low < 0 or high < 0:
            return unknown(call)
        else:
            shape[axis] += low + high
            labels = labels.narrow(axis, 0, 1).expand(shape)
    return compact(labels)


def pointwise(call: Call) -> Labels:
    """Element-wise arithmetic ties the channels that meet."""
    result = uniform(ANY, ())
    for node in call.tensors():
        result = _meet(call, result, call.of(node))
    return compact(result).expand(call.shape)


def _meet(call: Call, left: Tensor, right: Tensor) -> Tensor:
    rank = max(left.dim(), right.dim())
    left = left.reshape((1,) * (rank - left.dim()) + tuple(left.shape)) if left.dim() < rank else left
    right = right.reshape((1,) * (rank - right.dim()) + tuple(right.shape)) if right.dim() < rank else right
    shape = torch.broadcast_shapes(left.shape, right.shape)  # type: ignore[no-untyped-call]
    for one, other in ((left, right), (right, left)):
        across = any(one.size(d) == 1 and varies(other, d) for d in range(rank))
        if across and not any(varies(one, d) for d in range(rank)):
            return other.expand(shape)  # a spatial gate: it meets every channel and is none of them
    if all(
        any(one.size(d) == 1 and varies(other, d) for d in range(rank)) for one, other in ((left, right), (right, left))
    ):
        for labels in (left, right):
            call.space.freeze(labels, f"spans a tensor with two channel axes in {call.where}")
        return uniform(FIXED, tuple(shape))
    call.space.tie(left, right, call.where)
    narrow = core(left.expand(shape), right.expand(shape))
    return compact(torch.where(narrow[0] == ANY, narrow[1], narrow[0])).expand(shape)


def channels(call: Call, labels: Tensor, axis: int) -> Tensor:
    """The label of every entry of one axis: (C,). Labels that differ along the other axes are tied."""
    axis %= labels.dim()
    (narrow,) = core(labels)
    if narrow.size(axis) == 1:
        narrow = narrow.expand(*(labels.size(d) if d == axis else narrow.size(d) for d in range(labels.dim())))
    table = narrow.movedim(axis, 0).reshape(labels.size(axis), -1)
    if table.shape[1] > 1:
        call.space.tie(table[:, :1].expand_as(table), table, call.where)
    return table[:, 0]


def convolution(call: Call) -> Labels:
    """conv1d, conv2d, conv3d: weight (O, I / groups, ...). A unit of a grouped convolution is a whole conv group."""
    x, weight = call.labels("input"), call.args["weight"]
    groups, spatial = int(call.args["groups"]), weight.meta["val"].dim() - 2
    into = channels(call, x, x.dim() - spatial - 1)
    out = call.axis("weight", 0, producer=True)
    if out is None:
        return unknown(call)
    if groups == 1:
        owned = call.axis("weight", 1)
        assert owned is not None
        call.space.tie(owned, into, call.where)
    else:
        _tie_groups(call, into, out, groups)
    _tie_bias(call, out)
    return spread(out, len(call.shape) - spatial - 1, call.shape)


def transposed_convolution(call: Call) -> Labels:
    """conv_transpose: weight (I, O / groups, ...)."""
    x, weight = call.labels("input"), call.args["weight"]
    groups, spatial = int(call.args["groups"]), weight.meta["val"].dim() - 2
    into = channels(call, x, x.dim() - spatial - 1)
    owned = call.axis("weight", 0, producer=groups > 1)
    if owned is None:
        return unknown(call)
    call.space.tie(owned, into, call.where)
    if groups == 1:
        out = call.axis("weight", 1, producer=True)
        assert out is not None
    else:
        out = owned.reshape(groups, -1)[:, :1].expand(groups, weight.meta["val"].shape[1]).reshape(-1)
        _tie_groups(call, into, owned, groups)
    _tie_bias(call, out)
    return spread(out, len(call.shape) - spatial - 1, call.shape)


def _tie_groups(call: Call, into: Tensor, out: Tensor, groups: int) -> None:
    for side in (into, out):
        grouped = side.reshape(groups, -1)
        call.space.tie(grouped[:, :1].expand_as(grouped), grouped, call.where)
    call.space.tie(into.reshape(groups, -1)[:, 0], out.reshape(groups, -1)[:, 0], call.where)


def _tie_bias(call: Call, out: Tensor) -> None:
    bias = call.axis("bias", 0)
    if bias is not None:
        call.space.tie(bias, out, call.where)
    elif isinstance(call.args.get("bias"), fx.Node):
        call.space.freeze(out, f"has a computed bias in {call.where}")


def linear(call: Call) -> Labels:
    x, out = call.labels("input"), call.axis("weight", 0, producer=True)
    owned = call.axis("weight", 1)
    if out is None or owned is None:
        return unknown(call)
    call.space.tie(owned, channels(call, x, -1), call.where)
    _tie_bias(call, out)
    return spread(out, len(call.shape) - 1, call.shape)


def channel_norm(call: Call) -> Labels:
    """batch_norm, instance_norm, prelu: one entry of each vector a channel (axis 1)."""
    x = call.of(call.tensors()[0])
    vector = None
    for name in ("weight", "bias", "running_mean", "running_var"):
        node = call.args.get(name)
        if isinstance(node, fx.Node) and node.meta["val"].numel() == 1 and x.size(1) > 1:
            continue
        owned = call.axis(name, 0)
        if owned is not None:
            vector = channels(call, x, 1) if vector is None else vector
            call.space.tie(owned, vector, call.where)
        elif isinstance(node, fx.Node):
            return unknown(call)
    return x


def group_norm(call: Call) -> Labels:
    """Keeps its number of groups: every group keeps the same share."""
    x = channel_norm(call)
    vector, groups = channels(call, x, 1), int(call.args["num_groups"])
    if groups > 1:
        for segment in vector.reshape(groups, -1):
            call.space.proportion(segment, vector, call.where)
    return x


def layer_norm(call: Call) -> Labels:
    x, shape = call.labels("input"), call.args["normalized_shape"]
    if len(shape) != 1:
        return unknown(call) if any(varies(x, d) for d in range(x.dim())) else x
    owned = [call.axis(name, 0) for name in ("weight", "bias")]
    if owned[0] is None:
        call.space.freeze(x, f"is normalised without parameters in {call.where}")
    for vector in owned:
        if vector is not None:
            call.space.tie(vector, channels(call, x, -1), call.where)
    return x


def pool(call: Call) -> Labels:
    """Pooling and resizing: the two last axes change size, the channels stay."""
    x = call.of(call.tensors()[0])
    vector = channels(call, x, x.dim() - 3)
    value = call.node.meta["val"]
    shapes = [tuple(v.shape) for v in value] if isinstance(value, (tuple, list)) else [tuple(value.shape)]
    parts = tuple(spread(vector, len(shape) - 3, shape) for shape in shapes)
    return parts if isinstance(value, (tuple, list)) else parts[0]


def reduce(call: Call) -> Labels:
    """A reduction over the channels consumes them; over other axes it leaves them."""
    x = call.of(call.tensors()[0])
    dims = call.args.get("dim")
    dims = list(range(x.dim())) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    reduced = {d % x.dim() for d in dims}
    value = call.node.meta["val"]
    shapes = [tuple(v.shape) for v in value] if isinstance(value, (tuple, list)) else [tuple(value.shape)]
    if any(varies(x, d) for d in reduced):
        if any(varies(x, d) for d in range(x.dim()) if d not in reduced):
            first = x
            for axis in reduced:
                first = first.narrow(axis, 0, 1)
            call.space.tie(first.expand(x.shape), x, call.where)
            x = first
        else:
            x = uniform(ANY, tuple(x.shape))
    for axis in reduced:
        x = x.narrow(axis, 0, 1)
    parts = tuple(compact(core(x)[0].expand(x.shape).reshape(shape)) for shape in shapes)
    return parts if isinstance(value, (tuple, list)) else parts[0]


def silent(call: Call) -> Labels:
    """No tensor comes out."""
    del call
