"""Verdicts by hand-worked numbers."""

import pytest

from edgeprune.pipeline.judge import Costs, judge
from edgeprune.quantity import parse_limit
from edgeprune.result import LatencyStats
from profilers.measurement import Ratio


def stats(median: float, upper: float) -> LatencyStats:
    return LatencyStats(median=median, p10=median - 1, p90=median + 1, n=200, ci95=(median - 0.2, upper))


DENSE = Costs(macs=1000, params=100, size_bytes=4000, latency=stats(10.0, 10.2), peak_memory_mib=8.0)


def pruned(median: float = 5.0, upper: float = 5.1) -> Costs:
    return Costs(macs=300, params=20, size_bytes=1000, latency=stats(median, upper), peak_memory_mib=4.0)


def ratio(median: float, upper: float) -> Ratio:
    return Ratio(median, (median - 0.02, upper), (median,))


@pytest.mark.parametrize(("upper", "met"), [(6.9, True), (7.1, False)])
def test_a_limit_on_the_90th_percentile_is_judged_at_the_end_of_its_interval(upper, met):
    measured = stats(5.0, 5.1).model_copy(update={"p90": 6.5, "p90_ci95": (6.1, upper)})
    costs = Costs(macs=300, params=20, size_bytes=1000, latency=measured)
    found = judge(parse_limit("latency", "p90:7ms"), DENSE, costs, ratio(0.5, 0.51))
    assert (found.met, found.achieved, found.used) == (met, 6.5, pytest.approx(upper / 7))


@pytest.mark.parametrize(
    ("asked", "median", "upper", "share", "share_upper", "met", "limit", "note"),
    [
        ("6ms", 5.4, 5.7, 0.54, 0.57, True, 6.0, "90 % of the budget"),
        ("6ms", 5.4, 6.1, 0.54, 0.57, False, 6.0, "90 % of the budget, but its 95 % interval reaches beyond it"),
        ("6ms", 6.6, 6.7, 0.40, 0.41, False, 6.0, "110 % of the budget"),
        ("50%", 4.5, 4.6, 0.45, 0.50, True, 5.0, "90 % of the budget"),
        ("50%", 4.5, 4.6, 0.45, 0.51, False, 5.0, "90 % of the budget, but its 95 % interval reaches beyond it"),
        ("50%", 4.5, 4.6, 0.55, 0.57, False, 5.0, "110 % of the budget"),
    ],
    ids=["inside", "interval outside", "outside", "half", "interval of the ratio outside", "ratio outside"],
)
def test_latency(asked, median, upper, share, share_upper, met, limit, note):
    found = judge(parse_limit("latency", asked), DENSE, pruned(median, upper), ratio(share, share_upper))
    assert (found.met, found.limit, found.note) == (met, limit, note)
    assert (found.achieved, found.unit, found.source) == (median, "ms", "measured")
    assert (found.ratio, found.ratio_ci95) == (share, (share - 0.02, share_upper))


@pytest.mark.parametrize(
    ("kind", "asked", "met", "limit", "achieved", "unit"),
    [
        ("memory", "50%", True, 4 * 2**20, 4 * 2**20, "bytes"),
        ("memory", "4MiB", True, 4 * 2**20, 4 * 2**20, "bytes"),
        ("memory", "4MB", False, 4e6, 4 * 2**20, "bytes"),
        ("file_size", "25%", True, 1000, 1000, "bytes"),
        ("file_size", "24%", False, 960, 1000, "bytes"),
        ("file_size", "1kB", True, 1000, 1000, "bytes"),
        ("macs", "30%", True, 300, 300, "MACs"),
        ("macs", "0.2k", False, 200, 300, "MACs"),
    ],
)
def test_what_is_counted(kind, asked, met, limit, achieved, unit):
    found = judge(parse_limit(kind, asked), DENSE, pruned(), ratio(0.9, 0.95))
    assert (found.met, found.limit, found.achieved, found.unit) == (met, limit, achieved, unit)
    assert found.ratio == pytest.approx({"memory": 0.5, "file_size": 0.25, "macs": 0.3}[kind])
    assert found.ratio_ci95 is None
    assert found.source == ("measured" if kind == "memory" else "counted")


@pytest.mark.parametrize("kind", ["latency", "memory"])
def test_what_was_not_measured_is_neither_met_nor_missed(kind):
    dense, small = Costs(1000, 100, 4000), Costs(300, 20, 1000)
    found = judge(parse_limit(kind, "50%"), dense, small, None)
    assert (found.met, found.achieved, found.ratio, found.source) == (None, None, None, "not measured")
    assert found.note == "not measured"


def test_a_source_that_is_no_phone_is_kept():
    found = judge(parse_limit("latency", "6ms"), DENSE, pruned(), ratio(0.5, 0.51), kind="emulated")
    assert found.source == "emulated"
