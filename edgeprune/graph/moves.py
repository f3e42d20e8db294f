"""Data movement: the same op on the labels. A slice of the channels keeps the share that the whole keeps."""

from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph.call import Call, Labels, unknown
from edgeprune.graph.space import FIXED, compact, core, spread, uniform, varies
from edgeprune.graph.trace import op_name


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
            result = first.expand(result.shape)
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


def shuffle(call: Call) -> Labels:
    """channel_shuffle: as its view, transpose and view would do."""
    labels, groups = call.labels("self"), int(call.args["groups"])
    n, c, *rest = call.shape
    grid = _view(call, labels, (n, groups, c // groups, *rest))
    return compact(grid.transpose(1, 2).reshape(call.shape))


def index(call: Call) -> Labels:
    """Rows of a table, by indices: a parameter's rows are tied together; an indexed channel axis is unknown."""
    source, indices = call.args["self"], call.args["indices"]
    labels, rows = call.of(source), [axis for axis, node in enumerate(indices) if node is not None]
    for axis in rows:
        if varies(labels, axis):
            if source not in call.owners:
                return unknown(call)
            first = labels.narrow(axis, 0, 1).expand(labels.shape)
            call.space.tie(first, labels, call.where)
            labels = first
    zeros = [None if node is None else torch.zeros(node.meta["val"].shape, dtype=torch.long) for node in indices]
    return compact(torch.ops.aten.index(labels, zeros))


def embedding(call: Call) -> Labels:
    """weight (rows, D): the second axis makes the channels."""
    out = call.axis("weight", 1, producer=True)
    return unknown(call) if out is None else spread(out, len(call.shape) - 1, call.shape)


def glu(call: Call) -> Labels:
    """The second half gates the first."""
    x, dim = call.labels("self"), int(call.args["dim"])
    halves = [compact(part) for part in x.chunk(2, dim)]
    _proportions(call, halves, {"dim": dim})
    call.space.tie(halves[0], halves[1], call.where)
    return halves[0]


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
