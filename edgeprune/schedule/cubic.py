"""The cubic sparsity schedule (Zhu and Gupta 2017; methods.md section 3) and the regrowth fraction of GraNet."""

from math import cos, pi


def cubic(step: float, *, initial: float, final: float, start: float = 0.0, length: float = 1.0) -> float:
    """final + (initial - final) (1 - (step - start) / length)^3 between start and start + length, constant outside."""
    progress = min(1.0, max(0.0, (step - start) / length))
    return initial if progress == 0 else final + (initial - final) * (1 - progress) ** 3


def units_at(progress: float, units: int, final: int) -> int:
    """Units that are left of `units` when the share of removed ones follows the cubic: exactly `final` at 1."""
    return units - round(cubic(progress, initial=0.0, final=float(units - final)))


def cosine(progress: float, *, initial: float, final: float) -> float:
    """From initial at 0 to final at 1 by half a cosine."""
    return final + (initial - final) * (1 + cos(pi * min(1.0, max(0.0, progress)))) / 2


def update_steps(updates: int, last: int) -> list[int]:
    """The steps of `updates` evenly spaced updates; the last one is `last`. There must be a step for each."""
    return [round(last * number / updates) for number in range(1, updates + 1)]
