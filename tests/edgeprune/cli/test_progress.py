"""Progress on a terminal of 80 columns and without one, colours, and a Ctrl-C that Python loses in a destructor."""

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edgeprune.cli import app, progress
from edgeprune.cli.progress import make_progress

ROOT = Path(__file__).parents[3]
COLOUR = re.compile(r"\x1b\[(?:3[0-7]|9[0-7]|38|4[0-7]|48)[;m]")
WORK = """
import time
from edgeprune.cli.progress import make_progress
with make_progress() as progress:
    progress.stage("Winning accuracy back")
    for step in range(1, 9):
        progress.advance(step, 10, f"best 0.95{step}3, loss 0.123")
        time.sleep(0.15)
    progress.note("candidate 3: 12.123 ms predicted, 12.456 ms measured, 97.8% of the budget")
"""


def on_a_terminal(*words: str, columns: int = 80, **variables: str) -> str:
    """Everything that a Python program writes to a terminal of that width."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        left_out = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "CI")
        kept = {key: value for key, value in os.environ.items() if key not in left_out}
        os.execve(sys.executable, [sys.executable, *words],
                  {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables})  # fmt: skip
    said = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux tells so that the other end is closed
            break
        if not part:
            break
        said += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, said
    return said.decode()


def lines(said: str) -> list[str]:
    """What was to be read, line by line, without the terminal's control sequences."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))


def test_bar_best_and_time_left_fit_80_columns() -> None:
    said = on_a_terminal("-c", WORK)
    frames = [line for line in lines(said) if line.startswith("Winning accuracy back")]
    assert any(re.search(r"back ━+.* best 0\.95\d3, loss 0\.123 .*0:0\d, 0:0\d left$", frame) for frame in frames), (
        frames
    )
    assert all(len(line) <= 80 for line in lines(said))
    assert COLOUR.search(said)
    assert "✓ Winning accuracy back" in said


def test_no_color_leaves_the_bar_and_takes_the_colours() -> None:
    said = on_a_terminal("-c", WORK, NO_COLOR="1")
    assert "━" in said
    assert not COLOUR.search(said)


def test_help_and_errors_without_colours_on_80_columns() -> None:
    program = "import sys; from edgeprune.cli import main; sys.argv = ['edgeprune', *sys.argv[1:]]; main()"
    said = on_a_terminal("-c", program, "optimize", "--help", NO_COLOR="1")
    assert any("--dry-run" in line for line in lines(said))
    assert not COLOUR.search(said)
    assert all(len(line) <= 80 for line in lines(said))


def commands(command: object, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    for name, below in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from commands(below, *path, name)


@pytest.mark.parametrize("path", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_help_fits_80_columns(path: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).stdout
    assert all(len(line) <= 80 for line in said.splitlines())


def test_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.0)
    moments = iter([100.0, 130.0, 130.0])  # the stage begins; half a minute later a quarter is done
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(moments))
    long = "a note longer than a terminal is wide stays one line, so that it is found again by whoever searches the log"
    with make_progress() as shown:
        shown.stage("Winning accuracy back")
        shown.advance(1, 4, "best 0.9")
        monkeypatch.undo()
        shown.note(long)
    said = capsys.readouterr().err
    assert said == f"Winning accuracy back ...\n  1/4 best 0.9, 1:30 left\n  {long}\n"


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
