"""Labels of channels, the ties between them, and what was frozen.

A label belongs to an entry of a parameter axis (or to an element of a parameter that is used directly). Two labels
are special: `ANY` never couples and `FIXED` freezes what it meets. A label tensor is kept *compact*: along an axis on
which it is constant its stride is 0, so that a (1, 64, 112, 112) activation holds 64 integers.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

ANY, FIXED, FIRST = 0, 1, 2
_ALL, _FIRST = slice(None), slice(0, 1)


@dataclass(frozen=True)
class LabelRange:
    """Labels base .. base + size: the entries of `axis` of `param`, or all its elements if `axis` is None."""

    param: str
    axis: int | None
    base: int
    shape: tuple[int, ...]
    producer: bool

    @property
    def size(self) -> int:
        return int(np.prod(self.shape)) if self.axis is None else self.shape[self.axis]


@dataclass(frozen=True)
class Proportion:
    """`segment` must keep the same share of its channels as `whole` (both label vectors)."""

    segment: Tensor
    whole: Tensor
    reason: str


@dataclass
class LabelSpace:
    """Everything that walking the graphs of one model finds out about its channels."""

    ranges: dict[tuple[str, int | None], LabelRange] = field(default_factory=dict)
    frozen: list[tuple[Tensor, str]] = field(default_factory=list)
    proportions: list[Proportion] = field(default_factory=list)
    size: int = FIRST
    _edges: list[Tensor] = field(default_factory=list)

    def issue(self, param: str, axis: int | None, shape: tuple[int, ...], *, producer: bool = False) -> Tensor:
        """Labels of one axis (a vector) or, if axis is None, of every element (a tensor of that shape)."""
        key = (param, axis)
        known = self.ranges.get(key)
        if known is None or (producer and not known.producer):
            base = self.size if known is None else known.base
            known = LabelRange(param, axis, base, tuple(shape), producer)
            self.ranges[key] = known
            self.size = max(self.size, base + known.size)
        labels = torch.arange(known.base, known.base + known.size)
        return labels.reshape(known.shape) if axis is None else labels

    def tie(self, left: Tensor, right: Tensor, where: str) -> None:
        """Channels that meet in one number live and die together. Shapes broadcast."""
        pairs = core(*torch.broadcast_tensors(left, right))  # type: ignore[no-untyped-call]
        edges = torch.stack([pair.reshape(-1) for pair in pairs])
        if edges.shape[1] > max(pairs[0].shape, default=1):  # a grid may hold one pair many times
            keys = torch.unique(edges[0] * self.size + edges[1])
            edges = torch.stack([keys // self.size, keys % self.size])
        edges = edges[:, (edges != ANY).all(0) & (edges[0] != edges[1])]
        stuck = (edges == FIXED).any(0)
        if stuck.any():
            self.freeze(edges[:, stuck], f"meets channels that are fixed (input, constant or padding) in {where}")
        self._edges.append(edges[:, ~stuck])

    def freeze(self, labels: Tensor, reason: str) -> None:
        (narrow,) = core(labels)
        channels = torch.unique(narrow)
        channels = channels[channels >= FIRST]
        if len(channels):
            self.frozen.append((channels, reason))

    def proportion(self, segment: Tensor, whole: Tensor, where: str) -> None:
        self.proportions.append(Proportion(segment.clone(), whole.clone(), where))

    def components(self) -> Tensor:
        """Component id of every label; the components of ANY and FIXED hold nothing else."""
        edges = torch.cat(self._edges, dim=1).numpy() if self._edges else np.zeros((2, 0), dtype=np.int64)
        graph = coo_array((np.ones(edges.shape[1], dtype=np.int8), (edges[0], edges[1])), shape=(self.size, self.size))
        return torch.from_numpy(connected_components(graph, directed=False)[1].astype(np.int64))


def varies(labels: Tensor, axis: int) -> bool:
    """Whether a compact label tensor differs along an axis."""
    return labels.size(axis) > 1 and labels.stride(axis) != 0


def core(*tensors: Tensor) -> list[Tensor]:
    """Tensors of one shape, narrowed to size 1 along the axes on which none of them varies."""
    strides = [t.stride() for t in tensors]
    window = tuple(
        _ALL if size > 1 and any(stride[axis] for stride in strides) else _FIRST
        for axis, size in enumerate(tensors[0].shape)
    )
    return [t[window] for t in tensors]


def compact(labels: Tensor) -> Tensor:
    """The same labels with stride 0 along every axis on which they are constant."""
    shape = labels.shape
    if labels.numel() == 0:
        return labels
    (narrow,) = core(labels)
    for axis in range(narrow.dim()):
        first = narrow.narrow(axis, 0, 1)
        if narrow.size(axis) > 1 and torch.equal(narrow, first.expand_as(narrow)):
            narrow = first
    return narrow.expand(shape)


def spread(vector: Tensor, axis: int, shape: tuple[int, ...]) -> Tensor:
    """A label tensor of `shape` that is `vector` along `axis` and constant elsewhere."""
    view = [1] * len(shape)
    view[axis] = len(vector)
    return compact(vector.reshape(view).expand(shape))


def uniform(label: int, shape: tuple[int, ...]) -> Tensor:
    return torch.full((1,) * len(shape), label).expand(shape)
