"""Progress on stderr: a bar with the best value so far and the time left; plain lines when it is not a terminal."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from edgeprune.progress import Progress

_PLAIN_EVERY_S = 15.0


@contextmanager
def _stopped() -> Iterator[Callable[[], None]]:
    """A check that raises KeyboardInterrupt if Ctrl-C was pressed: Python loses one that falls into a destructor."""
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


class _Clock(ProgressColumn):
    """How long a stage has taken, and how long it will."""

    def render(self, task: Task) -> Text:
        elapsed, left = task.elapsed or 0.0, task.time_remaining
        return Text(_span(elapsed) + ("" if left is None else f", {_span(left)} left"))


def _span(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


class _BarProgress:
    def __init__(self, bars: Bars, check: Callable[[], None]) -> None:
        self._bars = bars
        self._check = check
        self._task: TaskID | None = None

    def stage(self, title: str) -> None:
        self._check()
        self._close()
        self._task = self._bars.add_task(title, total=None, text="")

    def advance(self, done: float, total: float, text: str = "") -> None:
        self._check()
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, text=text)

    def note(self, text: str) -> None:
        self._bars.console.print(Padding(Text(text), (0, 0, 0, 2)))

    def _close(self) -> None:
        if self._task is not None:
            task = self._bars.tasks[self._bars.task_ids.index(self._task)]
            self._bars.console.print(f"✓ {task.description} ({task.elapsed or 0:.0f} s)", highlight=False, markup=False)
            self._bars.remove_task(self._task)
            self._task = None


class _PlainProgress:
    def __init__(self, console: Console, check: Callable[[], None]) -> None:
        self._console = console
        self._check = check
        self._last = self._began = 0.0

    def stage(self, title: str) -> None:
        self._check()
        self._line(f"{title} ...")
        self._began = self._last

    def advance(self, done: float, total: float, text: str = "") -> None:
        self._check()
        now = time.monotonic()
        if now - self._last > _PLAIN_EVERY_S:
            left = f", {_span((now - self._began) * (total - done) / done)} left" if 0 < done < total else ""
            self._line(f"  {done:g}/{total:g} {text}{left}")

    def note(self, text: str) -> None:
        self._line(f"  {text}")

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class _NoProgress:
    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def stage(self, title: str) -> None:
        del title
        self._check()

    def advance(self, done: float, total: float, text: str = "") -> None:
        del done, total, text
        self._check()

    def note(self, text: str) -> None:
        del text


@contextmanager
def make_progress(quiet: bool = False) -> Iterator[Progress]:
    """The progress display that fits stderr; none at all if `quiet`."""
    if quiet:
        with _stopped() as check:
            yield _NoProgress(check)
        return
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        with _stopped() as check:
            yield _PlainProgress(console, check)
        return
    # the conversion libraries are silenced by pointing descriptor 2 elsewhere; the bar keeps one of its own
    console = Console(file=os.fdopen(os.dup(2), "w", encoding="utf-8"))
    # what grows and can be cut is the text in the middle: title, bar and clock stay whole on 80 columns
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=10),
        TextColumn(
            "{task.fields[text]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        ),
        _Clock(),
    )
    with _stopped() as check, Bars(*columns, console=console, transient=True, expand=True) as bars:
        progress = _BarProgress(bars, check)
        yield progress
        progress._close()
