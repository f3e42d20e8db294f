"""The rules by which masks change at an update: gradual magnitude pruning, and GraNet's regeneration."""

from collections.abc import Mapping
from math import ceil

import torch
from torch import Tensor

from edgeprune.schedule.masks import strongest


def prune_to(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """The strongest `counts` of every layer or group stay alive."""
    return {name: strongest(score, counts[name]) for name, score in scores.items()}


def prune_globally(scores: Mapping[str, Tensor], density: float, minimum: float = 0.0) -> dict[str, Tensor]:
    """Of all layers together, the strongest round(density * n) stay alive (methods.md sections 6 and 8).

    `minimum`: no layer keeps less than this percentage of all weights; then each is pruned by its own share.
    """
    if minimum > 0:
        return prune_to(scores, _counts_with_minimum(scores, density, minimum))
    flat = torch.cat([score.flatten() for score in scores.values()])
    mask = strongest(flat, round(density * flat.numel()))
    parts = torch.split(mask, [score.numel() for score in scores.values()])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts, strict=True)}


def _counts_with_minimum(scores: Mapping[str, Tensor], density: float, minimum: float) -> dict[str, int]:
    """Weights that every layer keeps: those of the global ranking, with the floor; round(density * n) in all."""
    sizes = {name: score.numel() for name, score in scores.items()}
    plain = {name: 1 - float(mask.double().mean()) for name, mask in prune_globally(scores, density).items()}
    whole = sum(sizes.values())
    goal = round(density * whole)
    shares = with_minimum(sizes, plain, 1 - goal / whole, minimum)
    exact = {name: (1 - shares[name]) * size for name, size in sizes.items()}
    counts = {name: int(value + 1e-6) for name, value in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: goal - sum(counts.values())]:
        counts[name] += 1
    return counts


def regenerate(
    alive: Mapping[str, Tensor], scores: Mapping[str, Tensor], growth: Mapping[str, Tensor], fraction: float
) -> dict[str, Tensor]:
    """GraNet's zero-cost neuroregeneration: as many are alive as before, layer by layer.

    Of the alive ones the ceil(fraction * alive) weakest by score go, and of those that are then masked as many with the
    largest `growth` come back; the ones that just went may.
    """
    found = {}
    for name, mask in alive.items():
        total = int(mask.sum())
        removed = min(total, ceil(fraction * total - 1e-9))
        ranked = scores[name].double().masked_fill(~mask, -torch.inf)
        stay = strongest(ranked, total - removed)
        back = strongest(growth[name].double().masked_fill(stay, -torch.inf), removed)
        found[name] = stay | back
    return found


def minimum_threshold(sizes: Mapping[str, int], sparsity: float, percent: float = 0.05) -> dict[str, float]:
    """Sparsity of every layer so that each keeps at least min(its size, m) weights (Gupta et al., prune_withMT.py).

    m = int(percent / 100 of all weights). Starts from `sizes` at one sparsity; see `with_minimum` for others.
    """
    return with_minimum(sizes, dict.fromkeys(sizes, sparsity), sparsity, percent)


def with_minimum(
    sizes: Mapping[str, int], sparsities: Mapping[str, float], target: float, percent: float = 0.05
) -> dict[str, float]:
    """The layers' sparsities, rescaled so that all together have the target and none keeps fewer than the minimum.

    Layers smaller than the minimum stay dense. No sparsity exceeds that of the minimum (the published loop may pass 1).
    Raises ValueError when the minima alone are more than the target leaves.
    """
    whole = sum(sizes.values())
    least = int(whole * percent / 100)
    highest = {name: max(0.0, 1 - least / size) for name, size in sizes.items()}
    goal = target * whole
    if sum(highest[name] * sizes[name] for name in sizes) < goal - 1e-9:
        raise ValueError(f"{least} weights a layer leave less than a sparsity of {target:g}")
    found = {name: min(highest[name], max(0.0, sparsities[name])) for name in sizes}
    for _ in range(100):
        gap = goal - sum(found[name] * sizes[name] for name in sizes)
        free = [n for n in sizes if (found[n] < highest[n] - 1e-15 if gap > 0 else found[n] > 0)]
        if abs(gap) < 1e-9 * whole or not free:
            break
        weight = sum(found[name] * sizes[name] for name in free)
        for name in free:
            step = gap * (found[name] / weight if weight > 0 else 1 / sum(sizes[n] for n in free))
            found[name] = min(highest[name], max(0.0, found[name] + step))
    return found
