"""One node of the exported graph as a label rule sees it, and what every kind of rule uses."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from edgeprune.graph.space import ANY, FIXED, LabelSpace, compact, core, uniform
from edgeprune.graph.trace import bound, source_of

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
