"""Sizes that an export wrote down as numbers, read from the tensors again: for other batches and fewer channels.

`view(x, [1, 512])` becomes `view(x, [x.size(0), x.size(1) * x.size(2) * x.size(3)])`. A size that is split keeps its
numbers but one: the first for the batch, else the last, which is how pruning splits channels (whole heads stay).
"""

import operator
from functools import reduce
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph.trace import op_name

_VIEWS = ("view", "reshape", "_unsafe_view")


def free_shapes(module: fx.GraphModule) -> fx.GraphModule:
    """`module`, changed in place. Needs the examples' shapes (`meta["val"]`) on its nodes."""
    inputs = [node for node in module.graph.nodes if node.op == "placeholder" and isinstance(_value(node), Tensor)]
    reached = set(inputs)
    for node in module.graph.nodes:
        if reached.intersection(node.all_input_nodes):
            reached.add(node)
    for node in list(module.graph.nodes):
        name = op_name(node) if node.op == "call_function" else ""
        if name in (*_VIEWS, "expand") and isinstance(_value(node), Tensor) and isinstance(node.args[1], (list, tuple)):
            with module.graph.inserting_before(node):
                if name == "expand":
                    sizes = _expanded(node, None if node.args[0] in reached or not inputs else inputs[0])
                else:
                    sizes = _viewed(node)
                    node.target = torch.ops.aten.reshape.default  # what is a view for one example may not be for two
            node.args = (node.args[0], sizes, *node.args[2:])
    module.graph.lint()
    module.recompile()
    return module


def _viewed(node: fx.Node) -> list[int | fx.Node]:
    before, after = list(_value(node.args[0]).shape), list(_value(node).shape)
    sizes: list[int | fx.Node] = list(after)
    for axes, outs in blocks(before, after):
        free = outs[0] if outs[0] == 0 else outs[-1]
        whole = reduce(lambda a, b: node.graph.call_function(operator.mul, (a, b)), [_size(node, d) for d in axes])
        rest = prod(after[d] for d in outs if d != free)
        sizes[free] = whole if rest == 1 else node.graph.call_function(operator.floordiv, (whole, rest))
    return sizes


def blocks(before: list[int], after: list[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes with the same number of elements on both sides, in order; ones at the end join in.

    Empty if either shape holds no element.
    """
    found: list[tuple[list[int], list[int]]] = []
    if not prod(before) or not before or not after:
        return found
    i = j = 0
    while i < len(before) and j < len(after):
        axes, outs = [i], [j]
        i, j = i + 1, j + 1
        while (left := prod(before[d] for d in axes)) != (right := prod(after[d] for d in outs)):
            if left < right:
                axes.append(i)
                i += 1
            else:
                outs.append(j)
                j += 1
        found.append((axes, outs))
    found[-1][0].extend(range(i, len(before)))
    found[-1][1].extend(range(j, len(after)))
    return found


def _expanded(node: fx.Node, batch: fx.Node | None) -> list[int | fx.Node]:
    """`batch`: the network's input, if what is expanded does not depend on it (a class token)."""
    before, after = list(_value(node.args[0]).shape), list(_value(node).shape)
    new = len(after) - len(before)
    sizes: list[int | fx.Node] = [
        -1 if axis >= new and before[axis - new] == size else size for axis, size in enumerate(after)
    ]
    if batch is not None and after[0] == _value(batch).shape[0]:
        sizes[0] = node.graph.call_method("size", (batch, 0))
    return sizes


def _size(node: fx.Node, axis: int) -> fx.Node:
    return node.graph.call_method("size", (node.args[0], axis))


def _value(node: Any) -> Any:
    """The example's value: a fake tensor, or what else the node stands for."""
    return node.meta.get("val")
