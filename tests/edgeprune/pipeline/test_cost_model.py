"""Networks of `table check` are timed several at once where the target can, and come to the same rows as one by one."""

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import pytest

from converters.artifact import Artifact
from edgeprune.pipeline import cost_model
from edgeprune.targets.target import ratios
from profilers.measurement import Latency, Ratio


def measured(artifact: Artifact) -> tuple[Ratio, Latency]:
    ratio = artifact.size_bytes / 100
    return Ratio(ratio, (ratio, ratio), (ratio,)), Latency(1.0, 1.0, 1.0, 1.0, (1.0, 1.0), 1)


class Narrow:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def ratio(self, candidate: Artifact, seconds: float = 1.0) -> tuple[Ratio, Latency]:
        assert seconds == cost_model.SECONDS
        self.asked.append(1)
        return measured(candidate)


class Wide(Narrow):
    def ratios(self, candidates: Sequence[Artifact], seconds: float = 1.0) -> list[tuple[Ratio, Latency]]:
        assert seconds == cost_model.SECONDS
        self.asked.append(len(candidates))
        return [measured(candidate) for candidate in candidates]


class Clock(cost_model._Clock):
    """Files of as many bytes as the network has channels; dense has 100 and takes 8 ms."""

    def __init__(self, bench: Any) -> None:
        self._bench, self._dense_ms = bench, 8.0

    def _build(self, counts: dict[str, int], number: int) -> Artifact:
        return Artifact("litert", Path(f"{number}"), (), (), "float32", "", counts["g"])


class Drawn:
    def __init__(self) -> None:
        self.last = 0

    def next(self) -> dict[str, int]:
        self.last += 10
        return {"g": self.last}


class Predictor:
    def predict(self, counts: dict[str, int]) -> float:
        return float(counts["g"])


def rows(bench: Any, at_once: int) -> tuple[list[Any], list[float]]:
    told: list[float] = []
    found = cost_model._rows(
        Drawn(), Predictor(), Clock(bench), 7, at_once, lambda done, total, text: told.append(done)  # type: ignore[arg-type]  # noqa: ARG005
    )  # fmt: skip
    return found, told


@pytest.mark.parametrize("at_once", [2, 5, 7, 40])
def test_rows_are_the_same_however_many_are_timed_at_once(at_once: int) -> None:
    narrow, wide = Narrow(), Wide()
    one_by_one, steps = rows(narrow, 1)
    assert steps == [1, 2, 3, 4, 5, 6, 7]
    assert len(narrow.asked) == 9, "the first and the sixth twice"
    at_once_rows, steps = rows(wide, at_once)
    assert at_once_rows == one_by_one
    assert steps[-1] == 7
    assert len(steps) == -(-7 // at_once)
    assert sum(wide.asked) == 9
    assert [row[2] is not None for row in one_by_one] == [True, False, False, False, False, True, False]
    assert one_by_one[2] == (30.0, pytest.approx(0.3 * 8.0), None)


def test_a_repeated_network_gets_its_own_second_time() -> None:
    class Slower(Wide):
        def ratios(self, candidates: Sequence[Artifact], seconds: float = 1.0) -> list[tuple[Ratio, Latency]]:
            del seconds
            return [(Ratio(float(n), (0.0, 0.0), ()), measured(c)[1]) for n, c in enumerate(candidates)]

    twice: Container[int] = {1}
    assert Clock(Slower())([{"g": 10}, {"g": 20}, {"g": 30}], twice) == [(0.0, None), (8.0, 24.0), (16.0, None)]


def test_a_bench_that_can_only_do_one_is_asked_one_by_one() -> None:
    files = [Artifact("litert", Path("x"), (), (), "float32", "", n) for n in (10, 20)]
    narrow, wide = Narrow(), Wide()
    assert ratios(narrow, files, cost_model.SECONDS) == ratios(wide, files, cost_model.SECONDS)
    assert (narrow.asked, wide.asked) == ([1, 1], [2])


def test_how_many_are_handed_over_together() -> None:
    assert [cost_model._at_once(width) for width in (1, 2, 10, 25, 100, 300)] == [1, 16, 80, 200, 200, 300]
