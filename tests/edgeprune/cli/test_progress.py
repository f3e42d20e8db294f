"""A Ctrl-C that Python loses, in a destructor, still stops the run at the next sign of progress."""

import os
import signal

import pytest

from edgeprune.cli.progress import make_progress


class Deaf:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def lost_interrupt(sign: str) -> None:
    with make_progress() as progress:
        progress.stage("a stage")
        thing = Deaf()
        del thing
        progress.stage("the next") if sign == "stage" else progress.advance(1, 2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sign", ["stage", "advance"])
def test_a_lost_interrupt_is_found_again(sign: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        lost_interrupt(sign)
    assert signal.getsignal(signal.SIGINT) is before


def test_without_an_interrupt_nothing_is_raised() -> None:
    with make_progress() as progress:
        progress.stage("a stage")
        progress.advance(1, 2)
        progress.note("done")
