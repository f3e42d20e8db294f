"""Several devices at once, a thread each, that end together: Ctrl-C reaches the main thread only."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import ContextVar, copy_context
from threading import Event
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
_STOP: ContextVar[Event | None] = ContextVar("stop", default=None)


def side_by_side(these: Sequence[S], ask: Callable[[S], T]) -> list[T]:
    """`ask` of each, in threads of their own where there are several; the answers in order.

    The first error is raised when all are done; after Ctrl-C the others end at their next `check` or `pause`.
    """
    if len(these) < 2:
        return [ask(one) for one in these]
    stop = Event()
    token = _STOP.set(stop)
    try:
        with ThreadPoolExecutor(len(these)) as pool:
            try:
                asked = [pool.submit(copy_context().run, ask, one) for one in these]
                wait(asked)
            except BaseException:
                stop.set()
                raise
        return [one.result() for one in asked]
    finally:
        _STOP.reset(token)


def check() -> None:
    """Raise KeyboardInterrupt if the others were interrupted."""
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise KeyboardInterrupt


def pause(seconds: float) -> None:
    """As `time.sleep`, but cut short by Ctrl-C. Raises KeyboardInterrupt then."""
    stop = _STOP.get()
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise KeyboardInterrupt
