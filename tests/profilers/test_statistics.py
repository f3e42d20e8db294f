import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from profilers import statistics

FINITE = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60)


@given(FINITE, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]))
def test_quantile_is_numpys(values: list[float], q: float) -> None:
    assert statistics.quantile(sorted(values), q) == pytest.approx(np.quantile(values, q), rel=1e-12)


@pytest.mark.parametrize(("n", "q"), [(300, 0.9), (1000, 0.9), (101, 0.5), (60, 0.9)])
def test_interval_of_a_quantile_covers_at_least_95_percent_and_is_the_narrowest(n: int, q: float) -> None:
    low, high = statistics.quantile_ci(range(n), q)  # values are 0-based ranks: the truth lies in [x(low), x(high))
    covered = binom.cdf(high, n, q) - binom.cdf(low, n, q)
    assert covered >= 0.95
    assert binom.cdf(low + 1, n, q) > 0.025
    assert binom.cdf(high - 1, n, q) < 0.975


def test_interval_of_a_quantile_of_few_values_is_their_range() -> None:
    assert statistics.quantile_ci([3.0, 1.0, 2.0], 0.9) == (1.0, 3.0)


# P(Bin(6) <= 0) = 1/64 = 1.6 %; P(Bin(10) <= 1) = 11/1024 = 1.1 %, <= 2 is 5.5 %; n = 100: the textbook's 40th and 61st
@pytest.mark.parametrize(("n", "ranks"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (10, (1, 8)), (100, (39, 60))])
def test_median_ranks_by_hand(n: int, ranks: tuple[int, int]) -> None:
    assert statistics.median_ranks(n) == ranks


@pytest.mark.parametrize("n", [6, 7, 30, 101, 2000])
def test_median_ranks_are_the_narrowest_that_cover(n: int) -> None:
    low, high = statistics.median_ranks(n)
    assert high == n - 1 - low
    assert binom.cdf(low, n, 0.5) <= 0.025 < binom.cdf(low + 1, n, 0.5)


def test_interval_covers_the_median_of_a_skewed_distribution() -> None:
    rng = np.random.default_rng(0)
    intervals = [statistics.median_ci(rng.exponential(size=25).tolist()) for _ in range(2000)]
    covered = np.mean([low <= np.log(2) <= high for low, high in intervals])
    assert 0.94 < covered < 0.98  # exact: 95.7 %


def test_latency_keeps_every_sample() -> None:
    summary = statistics.latency([3.0, 1.0, 2.0, 100.0, 4.0])
    assert (summary.median, summary.minimum, summary.n, summary.ci95) == (3.0, 1.0, 5, (1.0, 100.0))
    assert summary.p90 == pytest.approx(61.6)  # 0.9 * 4 = 3.6: 4 + 0.6 * 96


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        statistics.latency([])


def test_paired_ratio_is_immune_to_drift_that_hits_both() -> None:
    drift = [1.0, 1.3, 2.0, 1.1, 5.0, 0.7, 1.0]
    reference = [[10.0 * d, 10.2 * d, 9.9 * d] for d in drift]
    candidate = [[5.0 * d, 5.1 * d, 4.9 * d] for d in drift]
    ratio = statistics.paired_ratio(reference, candidate)
    assert ratio.median == pytest.approx(0.5)
    assert ratio.ci95 == pytest.approx((0.5, 0.5))
    assert len(ratio.rounds) == 7


def test_paired_ratio_refuses_unequal_rounds() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        statistics.paired_ratio([[1.0]], [[1.0], [2.0]])


def test_steady_samples_raise_no_flag() -> None:
    assert statistics.stability_flags([10.0, 10.1, 9.9, 10.05] * 10) == ()


def test_wide_samples_are_flagged() -> None:
    (flag,) = statistics.stability_flags([8.0, 12.0] * 20)
    assert flag == "unstable: IQR is 40% of the median"


def test_slowing_down_is_flagged() -> None:
    (flag,) = statistics.stability_flags([10.0] * 30 + [10.8] * 10)
    assert flag == "slowing down: the last quarter is 8% slower than the first"
