"""Densities that maximise sum(log density), the logarithm of the expected sum over paths (PreCropping; derived, ours).

SynFlow's objective is a sum over paths of a product of one weight a layer; with independent masks of densities p_l its
expectation shrinks by prod(p_l). Under one budget sum(n_l p_l) <= B the optimum is p_l = min(1, level / n_l): every
layer that is not dense keeps equally many weights ("water-filling").
"""

from collections.abc import Callable, Mapping


def water_fill(sizes: Mapping[str, float], budget: float) -> dict[str, float]:
    """p_l = min(1, level / sizes[l]) with sum(sizes * p) = budget; all 1 when the budget is not below the total."""
    if budget >= sum(sizes.values()):
        return dict.fromkeys(sizes, 1.0)
    rest, names = budget, sorted(sizes, key=lambda name: sizes[name])
    for position, name in enumerate(names):
        level = rest / (len(names) - position)
        if sizes[name] > level:
            break
        rest -= sizes[name]
    return {name: min(1.0, level / size) for name, size in sizes.items()}


def water_fill_two(
    first: Mapping[str, float], second: Mapping[str, float], budget_first: float, budget_second: float
) -> dict[str, float]:
    """Both budgets at once: p_l = min(1, 1 / (a first_l + b second_l)), a, b >= 0, by two nested bisections."""

    def densities(a: float, b: float) -> dict[str, float]:
        return {name: 1.0 / max(1.0, a * first[name] + b * second[name]) for name in first}

    def used(sizes: Mapping[str, float], p: Mapping[str, float]) -> float:
        return sum(sizes[name] * p[name] for name in sizes)

    def multiplier_for_second(a: float) -> float:
        return _least(lambda b: used(second, densities(a, b)) <= budget_second, 1e3 / min(second.values()))

    a = _least(lambda a: used(first, densities(a, multiplier_for_second(a))) <= budget_first, 1e3 / min(first.values()))
    return densities(a, multiplier_for_second(a))


def _least(holds: Callable[[float], bool], high: float, steps: int = 100) -> float:
    """The least x in [0, high] at which a condition that stays true once true holds (in a relative sense)."""
    if holds(0.0):
        return 0.0
    low = 0.0
    while not holds(high):
        low, high = high, high * 10
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
