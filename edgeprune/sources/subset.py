"""Which part of the training images to keep: data pruning (methods.md section 5)."""

import torch
from torch import Tensor

from edgeprune.errors import UsageError


def keep(
    labels: Tensor,
    fraction: float,
    scores: Tensor | None = None,
    *,
    seed: int = 0,
    floor: int = 0,
    stratified: bool = True,
    hardest: bool = True,
) -> Tensor:
    """Sorted indices of round(fraction * N) images; labels (N,), scores (N,) or None for a random choice.

    `stratified`: every class keeps the same fraction, to one image. `floor`: no class keeps fewer images than that, or
    than it has. `hardest`: the highest scores stay, else the lowest; ties are broken by the seed. Raises UsageError
    for a fraction outside (0, 1], and where the floors alone are more than may be kept.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"a kept fraction of {fraction:g}", "give a number in (0, 1]; 0.5 keeps half")
    n = len(labels)
    total = max(1, round(fraction * n))
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    order = shuffled if scores is None else shuffled[scores[shuffled].argsort(descending=hardest, stable=True)]
    sizes = torch.bincount(labels)
    least = sizes.clamp(max=floor)
    if int(least.sum()) > total:
        raise UsageError(
            f"{total} images are kept, but {floor} of each of {int((sizes > 0).sum())} classes are {int(least.sum())}",
            "keep a larger fraction, or lower the floor",
        )
    if stratified:
        quota = _quotas(sizes, least, total)
        return torch.cat([order[labels[order] == c][: int(quota[c])] for c in range(len(sizes))]).sort().values
    first = torch.cat([order[labels[order] == c][: int(least[c])] for c in range(len(sizes))])
    rest = order[~torch.isin(order, first)]
    return torch.cat([first, rest[: total - len(first)]]).sort().values


def _quotas(sizes: Tensor, least: Tensor, total: int) -> Tensor:
    """Images a class, `total` in all: in proportion to the sizes, at least `least`, by largest remainder."""
    quota, free = least.clone(), sizes > 0
    while True:  # classes whose share is below their floor have it; the others share what is left
        share = (total - quota[~free].sum()) * sizes.double() * free / (sizes * free).sum().clamp_min(1)
        below = free & (share < least)
        if not bool(below.any()):
            break
        free &= ~below
    whole = torch.where(free, share.floor().long(), quota)
    remainder = torch.where(free & (whole < sizes), share - share.floor(), -1.0)
    more = remainder.argsort(descending=True, stable=True)[: total - int(whole.sum())]
    whole[more] += 1
    return whole
