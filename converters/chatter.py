"""Keep what the conversion libraries print away from the user's terminal: in a log, or nowhere."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def silenced(log: Path | None = None) -> Iterator[None]:
    """Send everything written to stdout and stderr of this process to `log` (appended; None: dropped) meanwhile.

    The C++ converters write to the file descriptors, not to Python's streams, so both are diverted: other threads are
    silent meanwhile as well, and nesting is fine.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with contextlib.ExitStack() as stack:
        diary = stack.enter_context(Path(os.devnull if log is None else log).open("a"))
        for descriptor in (1, 2):
            saved = os.dup(descriptor)
            os.dup2(diary.fileno(), descriptor)
            stack.callback(_restore, saved, descriptor)
        stack.enter_context(contextlib.redirect_stdout(diary))
        stack.enter_context(contextlib.redirect_stderr(diary))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield
        diary.flush()


def _restore(saved: int, descriptor: int) -> None:
    os.dup2(saved, descriptor)
    os.close(saved)
