"""Numbers as text, against hand-written ones."""

import pytest

from edgeprune.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.57, "0.570"),
        (0.0571, "0.0571"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (0, "0.00"),
        (99.96, "100"),
        (5.9, "5.90"),
        (float("nan"), "nan"),
    ],
)
def test_significant(value: float, shown: str) -> None:
    assert text.significant(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(268_336, "268 k"), (125_485_696, "125 M"), (999_900, "1.00 M"), (10, "10"), (4.1e9, "4.10 G")]
)
def test_count(value: float, shown: str) -> None:
    assert text.count(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(1_084_272, "1.08 MB"), (512, "512 B"), (431_220, "431 kB")])
def test_size(value: float, shown: str) -> None:
    assert text.size(value) == shown


def test_what_was_not_measured_says_so() -> None:
    shown = [text.milliseconds(None), text.mebibytes(None), text.quantity(None, "ms"), text.percent(None)]
    assert shown == ["not measured"] * 4


@pytest.mark.parametrize(("seconds", "shown"), [(48.2, "48 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_percentages_and_points() -> None:
    assert text.percent(0.9235) == "92.35 %"
    assert text.points(-0.0054) == "-0.54 pts"
    assert text.quantity(2.0 * 2**20, "bytes") == "2.10 MB"
    assert text.quantity(15.8e6, "MACs") == "15.8 M MACs"
