"""One process of a group that trains: `python -m edgeprune.pipeline.worker FOLDER`, started by torch's elastic agent.

The folder holds the order; the answer, or an error that a user can act on, goes there too. Progress goes to stdout.
"""

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from edgeprune.files import write_json
from edgeprune.pipeline.launch import ANSWER, EVENT, FAILURE, ORDER
from edgeprune.progress import LoggedProgress, Progress

_EVERY_S = 0.5
_LISTEN_S = 5.0  # how long a process waits for word of another that may have failed first


class Told:
    """Progress and curves as lines that the starting process reads; seldom enough not to slow a training down."""

    def __init__(self) -> None:
        self._last = 0.0

    def stage(self, title: str) -> None:
        """Nothing: loading is not a stage of the run."""

    def advance(self, done: float, total: float, text: str = "") -> None:
        if time.monotonic() - self._last > _EVERY_S:
            self._last = time.monotonic()
            self._tell("advance", done, total, text)

    def note(self, text: str) -> None:
        self._tell("note", text)

    def add(self, tag: str, value: float, step: int) -> None:
        self._tell("add", tag, value, step)

    def close(self) -> None:
        """Nothing to do."""

    def _tell(self, *words: Any) -> None:
        sys.stdout.write(f"{EVENT}{json.dumps(words)}\n")
        sys.stdout.flush()


def main() -> None:
    """Entry point. A failure that was told ends without a code, or it would be tried again."""
    folder = Path(sys.argv[1])
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    leads = os.environ["RANK"] == "0"
    try:
        if not (folder / FAILURE).exists() and not (folder / ANSWER).exists():
            answer = work(json.loads((folder / ORDER).read_text(encoding="utf-8")), leads)
            if leads:
                write_json(folder / ANSWER, answer)
    except Exception as error:  # the starting process knows exit codes
        traceback.print_exc()
        code = _told(error, folder)
        sys.stderr.flush()
        os._exit(code)  # without waiting for the others, who may wait for us


def work(order: dict[str, Any], leads: bool) -> dict[str, Any]:
    """Load what the order names and carry it out."""
    from edgeprune.pipeline.job import job_from_config
    from edgeprune.pipeline.trainings import Order, carry_out, settings

    known = Order(**order)
    config, told = settings(known), Told()
    progress: Progress = told if leads else LoggedProgress()
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if restarts:
        progress.note(f"a process was lost: training goes on from the last epoch (restart {restarts})")
    job = job_from_config(config, progress)
    if leads and config.log is not None:
        job.curves = told
    traced, coupling = job.groups()
    return carry_out(job, traced, coupling, known)


def _told(error: Exception, folder: Path) -> int:
    """0 where the starting process knows, or hears from another process, what is wrong; 1 for what may pass."""
    from edgeprune.errors import explain

    known = explain(error)
    if known is not None:
        failure = {"message": known.message, "cure": known.cure, "exit_code": known.exit_code}
        write_json(folder / FAILURE, failure)
    until = time.monotonic() + _LISTEN_S
    while not (folder / FAILURE).exists() and time.monotonic() < until:
        time.sleep(0.1)
    return 0 if (folder / FAILURE).exists() else 1


def _end_with_the_run() -> None:
    """The starting process holds the other end of stdin: if it is gone, nobody waits for an answer."""
    while os.read(0, 1):  # not through sys.stdin, whose lock would be held as the interpreter ends
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
