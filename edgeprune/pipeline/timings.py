"""What the candidates of a run took, kept as they are timed: a search that was interrupted times none of them twice."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgeprune.files import write_json
from edgeprune.run import Run


class Timing(NamedTuple):
    """One candidate on one target, ms: what the budget is about, and the upper end of its 95 % interval."""

    ms: float
    upper: float


class Timings:
    """The candidates of a run by the targets' fingerprints and the units kept of each group (state/candidates.json)."""

    def __init__(self, run: Run) -> None:
        self._file = run.path / "state" / "candidates.json"
        rows = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else []
        self._known = {
            _key(row["targets"], row["units"]): tuple(Timing(ms, upper) for ms, upper in row["each"]) for row in rows
        }

    def get(self, targets: Sequence[str], units: Mapping[str, int]) -> tuple[Timing, ...] | None:
        """Of every target in order; None if these widths were not timed there."""
        return self._known.get(_key(targets, units))

    def put(self, targets: Sequence[str], units: Mapping[str, int], each: Sequence[Timing]) -> None:
        """Keep what was timed. Raises EnvironmentProblem."""
        self._known[_key(targets, units)] = tuple(each)
        rows = [
            {"targets": list(where), "units": dict(widths), "each": [list(timing) for timing in found]}
            for (where, widths), found in self._known.items()
        ]
        write_json(self._file, rows)


def _key(targets: Sequence[str], units: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    return tuple(targets), tuple(sorted(units.items()))
