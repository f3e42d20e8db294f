import pytest

from profilers.protocol import FULL, QUICK


@pytest.mark.parametrize(
    ("samples", "done"),
    [
        ([20.0] * 99, False),  # too few runs
        ([10.0] * 150, False),  # 1.5 s
        ([20.0] * 100, True),  # 100 runs, 2 s, no spread
        ([10.0, 30.0] * 60, False),  # the median is not known within 2 %
        ([0.1] * 1999, False),
        ([0.1] * 2000, True),  # most runs
        ([7000.0] * 9, True),  # 60 s
    ],
)
def test_stop_rule(samples: list[float], done: bool) -> None:
    assert FULL.done(samples) is done


def test_quick_is_30_runs() -> None:
    assert not QUICK.done([5.0, 50.0] * 14)
    assert QUICK.done([5.0, 50.0] * 15)


@pytest.mark.parametrize(("run_ms", "runs"), [(0.0, 50), (0.1, 50), (1.0, 20), (2.0, 10), (300.0, 5)])
def test_turns_last_about_20_ms(run_ms: float, runs: int) -> None:
    assert FULL.burst(run_ms) == runs
