"""Statistics of latency samples: nothing dropped, no normal distribution assumed."""

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

from profilers.measurement import Latency, Ratio


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of ascending values, linear between neighbours (numpy's default)."""
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


@lru_cache(maxsize=4096)
def median_ranks(n: int, level: float = 0.95) -> tuple[int, int]:
    """0-based ranks (low, high) of the narrowest symmetric order-statistic interval of the median.

    P(x_(low) <= median <= x_(high)) = 1 - 2 P(Binomial(n, 1/2) <= low) >= level (David & Nagaraja, Order Statistics,
    section 7.1). Below n = 6 no such pair reaches 95 %: the whole range is returned.
    """
    tail, cumulative, low = (1 - level) / 2, 0.0, -1
    while low + 1 < n / 2:
        cumulative += math.exp(math.lgamma(n + 1) - math.lgamma(low + 2) - math.lgamma(n - low) - n * math.log(2))
        if cumulative > tail:
            break
        low += 1
    low = max(low, 0)
    return low, n - 1 - low


def median_ci(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Order-statistic confidence interval of the median; the whole range for fewer than 6 values."""
    ordered = sorted(values)
    low, high = median_ranks(len(ordered), level)
    return ordered[low], ordered[high]


def quantile_ci(values: Sequence[float], q: float, level: float = 0.95) -> tuple[float, float]:
    """Order-statistic confidence interval of the q-quantile; the whole range where there are too few values.

    P(x_(r) <= quantile <= x_(s)) = P(r <= Binomial(n, q) < s), equal tails (David & Nagaraja, Order Statistics, 7.1).
    """
    ordered, n = sorted(values), len(values)
    tail, cumulative, low, high = (1 - level) / 2, 0.0, -1, n
    for k in range(n + 1):
        log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        cumulative += math.exp(log_ways + k * math.log(q) + (n - k) * math.log(1 - q))
        if cumulative <= tail:
            low = k
        if cumulative >= 1 - tail and high == n:
            high = k
    return ordered[max(low, 0)], ordered[min(high, n - 1)]


def latency(samples_ms: Sequence[float]) -> Latency:
    """Summary of samples in ms. Raises ValueError without samples."""
    if not samples_ms:
        raise ValueError("no samples")
    ordered = sorted(samples_ms)
    return Latency(
        median=quantile(ordered, 0.5),
        p10=quantile(ordered, 0.1),
        p90=quantile(ordered, 0.9),
        minimum=ordered[0],
        ci95=median_ci(ordered),
        n=len(ordered),
        p90_ci95=quantile_ci(ordered, 0.9),
    )


def relative_half_width(samples_ms: Sequence[float]) -> float:
    """Half width of the median's 95 % interval over the median."""
    low, high = median_ci(samples_ms)
    return (high - low) / 2 / statistics.median(samples_ms)


def paired_ratio(reference: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]) -> Ratio:
    """Median over rounds of median(candidate burst) / median(reference burst), bursts measured next to each other."""
    rounds = tuple(statistics.median(c) / statistics.median(r) for r, c in zip(reference, candidate, strict=True))
    return Ratio(median=statistics.median(rounds), ci95=median_ci(rounds), rounds=rounds)


def stability_flags(samples_ms: Sequence[float]) -> tuple[str, ...]:
    """What makes a series doubtful: IQR above 10 % of the median; a last quarter 5 % slower than the first."""
    flags = []
    ordered = sorted(samples_ms)
    middle = quantile(ordered, 0.5)
    spread = (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / middle
    if spread > 0.10:
        flags.append(f"unstable: IQR is {spread:.0%} of the median")
    quarter = len(samples_ms) // 4
    if quarter >= 5:
        drift = statistics.median(samples_ms[-quarter:]) / statistics.median(samples_ms[:quarter])
        if drift > 1.05:
            flags.append(f"slowing down: the last quarter is {drift - 1:.0%} slower than the first")
    return tuple(flags)
