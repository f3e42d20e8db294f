"""What each kind of arithmetic does to labels: one function a kind, called through the table in labels.py."""

import re

import torch
from torch import Tensor, fx

from edgeprune.graph.call import Call, Labels, channels, unknown
from edgeprune.graph.space import ANY, FIXED, compact, core, spread, uniform, varies
from edgeprune.graph.trace import op_name


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
        call.space.tie(call.labels("bias"), out, call.where)


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


_DIMENSIONS = re.compile(r"([123])d")


def pool(call: Call) -> Labels:
    """Pooling and resizing in 1, 2 or 3 dimensions: the last axes change size, the channels stay."""
    x, spatial = call.of(call.tensors()[0]), int(_DIMENSIONS.findall(op_name(call.node))[0])
    vector = channels(call, x, x.dim() - spatial - 1)
    value = call.node.meta["val"]
    shapes = [tuple(v.shape) for v in value] if isinstance(value, (tuple, list)) else [tuple(value.shape)]
    parts = tuple(spread(vector, len(shape) - spatial - 1, shape) for shape in shapes)
    return parts if isinstance(value, (tuple, list)) else parts[0]


def reduce(call: Call) -> Labels:
    """A reduction over the channels consumes them; over other axes it leaves them. max and min may also compare two."""
    if isinstance(call.args.get("other"), fx.Node):
        return pointwise(call)
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


def scan(call: Call) -> Labels:
    """Runs along one axis and mixes its entries; other axes stay."""
    x = call.of(call.tensors()[0])
    return unknown(call) if varies(x, int(call.args["dim"])) else x


def silent(call: Call) -> Labels:
    """No tensor comes out."""
    del call
