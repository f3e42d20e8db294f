"""The candidates that clients vote on: equal in size, unlike in what they keep. Made by a server without data."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from edgeprune.allocate.closed_form import water_fill
from edgeprune.allocate.erk import erk
from edgeprune.graph import Coupling
from edgeprune.schedule.masks import Alive
from edgeprune.schedule.updates import prune_globally, prune_to

_SPREAD = 1.0  # standard deviation of the logarithm of drawn densities, and of drawn factors on scores


def weight_pool(magnitudes: Mapping[str, Tensor], density: float, count: int, seed: int) -> list[tuple[str, Alive]]:
    """`count` masks of single weights, all of exactly `density`: the layers' densities differ, magnitude ranks within.

    First ERK (the authors' server), then global magnitude, equal densities, equal numbers a layer, then drawn ones.
    """
    sizes = {name: scores.numel() for name, scores in magnitudes.items()}
    generator = torch.Generator().manual_seed(seed)
    makers = {
        "erk": lambda: erk({name: tuple(scores.shape) for name, scores in magnitudes.items()}, density),
        "global": lambda: {n: float(m.double().mean()) for n, m in prune_globally(magnitudes, density).items()},
        "uniform": lambda: dict.fromkeys(sizes, density),
        "equal-numbers": lambda: water_fill({n: float(s) for n, s in sizes.items()}, density * sum(sizes.values())),
    }
    pool = []
    for number in range(count):
        name = [*makers, *(f"drawn-{i}" for i in range(count))][number]
        if name in makers:
            wanted = makers[name]()
        else:
            draws = torch.randn(len(sizes), generator=generator).tolist()
            wanted = {n: density * math.exp(_SPREAD * draw) for n, draw in zip(sizes, draws, strict=True)}
        pool.append((name, prune_to(magnitudes, whole_counts(sizes, wanted, density))))
    return pool


def whole_counts(sizes: Mapping[str, int], densities: Mapping[str, float], density: float) -> dict[str, int]:
    """Entries that every layer keeps, near its density, at least one, and round(density * n) in all."""
    goal = max(len(sizes), round(density * sum(sizes.values())))
    low, high = 0.0, 1 / min(densities.values())
    for _ in range(100):  # a factor on all densities, since none may exceed 1
        factor = (low + high) / 2
        total = sum(max(1.0, min(1.0, factor * densities[name]) * size) for name, size in sizes.items())
        low, high = (factor, high) if total < goal else (low, factor)
    exact = {name: max(1.0, min(1.0, high * densities[name]) * size) for name, size in sizes.items()}
    counts = {name: int(value + 1e-9) for name, value in exact.items()}
    room = sorted((n for n in sizes if counts[n] < sizes[n]), key=lambda name: counts[name] - exact[name])
    for name in room[: goal - sum(counts.values())]:
        counts[name] += 1
    return counts


def channel_pool(
    coupling: Coupling, counts: Mapping[str, int], scores: Mapping[str, Mapping[str, Tensor]], count: int, seed: int
) -> list[tuple[str, Alive]]:
    """`count` choices of channels, of the same widths: by each score, then by the first with drawn factors on it."""
    generator = torch.Generator().manual_seed(seed)
    first = next(iter(scores.values()))
    pool = []
    for number in range(count):
        name = [*scores, *(f"drawn-{i}" for i in range(count))][number]
        chosen = scores.get(name) or {
            group: values.double() * torch.exp(_SPREAD * torch.randn(len(values), generator=generator).double())
            for group, values in first.items()
        }
        alive = {group: torch.zeros(coupling.groups[group].units, dtype=torch.bool) for group in counts}
        for group, units in coupling.select(dict(chosen), dict(counts)).items():
            if group in alive:
                alive[group][units] = True
        pool.append((name, alive))
    return pool
