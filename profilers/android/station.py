"""A phone made ready to measure: what it is, and who runs files on it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from converters.artifact import Artifact
from profilers.android import conditions
from profilers.android.adb import Phone
from profilers.android.conditions import OnWait
from profilers.android.facts import Facts
from profilers.android.turn import OnReport, Report, Runner, Turn
from profilers.errors import ConnectionLost

COOL_DOWN_S = 120.0
T = TypeVar("T")


@dataclass
class Station:
    """One phone, its facts and its runner. `patience_s` is how long to wait for it to get cool and charged.

    `notes` are what went wrong so far and makes numbers doubtful, each once.
    """

    phone: Phone
    facts: Facts
    runner: Runner
    patience_s: float = conditions.PATIENCE_S
    on_wait: OnWait | None = None
    notes: list[str] = field(default_factory=list)

    def fit(self, start: dict[str, Any] | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Conditions once the phone is fit to measure, and the doubts that are left when patience ends.

        With `start`, the conditions of the beginning, only heat is waited for, and not longer than COOL_DOWN_S.
        """
        patience_s = self.patience_s if start is None else min(self.patience_s, COOL_DOWN_S)
        return self.again(
            lambda: conditions.wait_until_fit(self.phone, start=start, patience_s=patience_s, on_wait=self.on_wait)
        )

    def note(self, doubts: Sequence[str]) -> None:
        """Keep what makes numbers doubtful, once whatever the numbers in it: a phone that is hot is so all the time."""
        for doubt in doubts:
            if _words(doubt) not in map(_words, self.notes):
                self.notes.append(doubt)

    def put(self, artifacts: list[Artifact]) -> None:
        """Bring files to the phone; a phone that goes away meanwhile is waited for once."""
        self.again(lambda: self.runner.put(artifacts))

    def run(self, turns: list[Turn], on_report: OnReport | None = None) -> list[Report]:
        """One process a turn. If the phone goes away, it is waited for once, and all turns are run again.

        `on_report` hears of every turn as it ends, of those that are run again twice.
        """
        return self.again(lambda: self.runner.run(turns, on_report))

    def again(self, ask: Callable[[], T]) -> T:
        """`ask` once, and once more if the phone went away meanwhile and came back. Raises DeviceError."""
        try:
            return ask()
        except ConnectionLost as lost:
            if not self.phone.come_back():
                raise
            self.runner.recover()
            told = lost.message.replace(self.phone.serial, self.facts.serial_sha256[:6])  # notes are kept and shared
            self.notes.append(f"the connection broke and came back: {told}")
            return ask()


def _words(doubt: str) -> str:
    return re.sub(r"[\d.]+", "", doubt)
