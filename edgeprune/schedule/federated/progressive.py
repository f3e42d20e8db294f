"""Progressive pruning: a block of layers at a time, a few masks go and as many come by gradients that clients sent."""

from collections.abc import Mapping, Sequence
from math import cos, pi

import numpy as np
import torch
from torch import Tensor

from edgeprune.schedule.federated.message import Array
from edgeprune.schedule.masks import Alive, strongest

Sparse = dict[str, tuple[Array, Array]]  # name -> (int32 indices, float32 values)


def fraction(round_: int, last: int, alpha: float) -> float:
    """alpha / 2 (1 + cos(pi round / last)): share of a layer that is exchanged; alpha in round 0, 0 from `last` on."""
    return alpha / 2 * (1 + cos(pi * min(1.0, round_ / last)))


def exchanged(alive: Tensor, share: float) -> int:
    """How many of a layer are exchanged: that share of the alive ones, no more than there are masked ones."""
    return min(int(share * int(alive.sum())), int((~alive).sum()))


def blocks(names: Sequence[str], count: int) -> list[list[str]]:
    """The layers in `count` runs of about equal length, the last layers first: one is adjusted at a time."""
    parts = [part.tolist() for part in np.array_split(np.array(list(names), dtype=object), min(count, len(names)))]
    return parts[::-1]


def largest(slopes: Mapping[str, Tensor], alive: Alive, counts: Mapping[str, int]) -> Sparse:
    """Of every layer the `counts` largest slopes (by size) of masked entries: what a client sends."""
    found = {}
    for name, count in counts.items():
        size = slopes[name].double().abs().masked_fill(alive[name], -1.0)
        index = size.flatten().argsort(descending=True, stable=True)[:count]
        values = slopes[name].flatten()[index]
        found[name] = (index.numpy().astype(np.int32), values.numpy().astype(np.float32))
    return found


def gathered(
    sent: Sequence[Mapping[str, tuple[Array, Array]]], weights: Sequence[float], alive: Alive
) -> dict[str, Tensor]:
    """The weighted sum of what was sent, on the union of its entries; 0 elsewhere."""
    shares = [weight / sum(weights) for weight in weights]
    found = {name: torch.zeros(alive[name].numel(), dtype=torch.float64) for name in sent[0]}
    for sparse, share in zip(sent, shares, strict=True):
        for name, (index, values) in sparse.items():
            where = torch.from_numpy(np.array(index)).long()
            found[name].index_add_(0, where, share * torch.from_numpy(np.array(values)).double())
    return {name: total.reshape(alive[name].shape) for name, total in found.items()}


def adjust(
    alive: Alive, strengths: Mapping[str, Tensor], slopes: Mapping[str, Tensor], counts: Mapping[str, int]
) -> Alive:
    """As many alive as before: of each named layer the `counts` weakest go, and as many masked ones of the largest
    slopes come. The ones that just went are masked, too, and may come back.
    """
    found = {name: mask.clone() for name, mask in alive.items()}
    for name, count in counts.items():
        mask = alive[name]
        stay = strongest(strengths[name].double().masked_fill(~mask, -torch.inf), int(mask.sum()) - count)
        found[name] = stay | strongest(slopes[name].double().abs().masked_fill(stay, -torch.inf), count)
    return found
