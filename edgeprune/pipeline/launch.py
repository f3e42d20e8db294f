"""A training by several processes of this machine: torch's elastic agent starts them, and again when one is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgeprune.curves import Curves, NoCurves
from edgeprune.errors import EdgePruneError, EnvironmentProblem
from edgeprune.files import disk_trouble, write_json
from edgeprune.processes import RESTARTS
from edgeprune.progress import Progress

EVENT = "@edgeprune "  # begins the lines of a worker's stdout that are for us
ORDER, ANSWER, FAILURE = "order.json", "answer.json", "failure.json"
_HERE = "127.0.0.1"
_GRACE_S = 40.0  # the agent gives its workers 30 s to end


def launch(
    order: dict[str, Any], devices: int, log: Path, progress: Progress, curves: Curves | None = None
) -> dict[str, Any]:
    """What `edgeprune.pipeline.worker` answers to an order, carried out by `devices` processes.

    A lost process costs what was done since the last epoch; at most RESTARTS times. The processes end when this one
    does, however it ends. Raises what the training raises, and EnvironmentProblem when it lost too many processes.
    """
    with disk_trouble(log), tempfile.TemporaryDirectory(prefix="training-") as place:
        folder = Path(place)
        write_json(folder / ORDER, order)
        with log.open("a", encoding="utf-8") as diary:
            code = _run(_command(devices, folder), devices, diary, progress, curves or NoCurves())
        if (folder / FAILURE).exists():
            raise _told(json.loads((folder / FAILURE).read_text(encoding="utf-8")))
        if (folder / ANSWER).exists():
            answer: dict[str, Any] = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
            return answer
    raise EnvironmentProblem(
        f"The training by {devices} processes ended with code {code}, after {RESTARTS} restarts at most.",
        f"The last lines of {log} may tell why. Run again with --resume to go on from the last epoch.",
    )


def _command(devices: int, folder: Path) -> list[str]:
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        port = probe.getsockname()[1]
    return [
        sys.executable, "-P", "-m", "torch.distributed.run", "--rdzv-backend", "static", "--master-addr", _HERE,
        "--master-port", str(port), "--nproc-per-node", str(devices), "--max-restarts", str(RESTARTS),
        "-m", "edgeprune.pipeline.worker", str(folder),
    ]  # fmt: skip


def _run(command: list[str], devices: int, diary: Any, progress: Progress, curves: Curves) -> int:
    """Wait for the agent. Its stdin stays open as long as we live: its end tells the workers to end."""
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))
    threads = str(max(1, (os.cpu_count() or 1) // devices))
    agent = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=diary, text=True, start_new_session=True,
        env={
            "OMP_NUM_THREADS": threads, **os.environ, "PYTHONSAFEPATH": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        },
    )  # fmt: skip
    try:
        assert agent.stdout is not None
        for line in agent.stdout:
            if line.startswith(EVENT):
                kind, *values = json.loads(line.removeprefix(EVENT))
                getattr(curves if kind == "add" else progress, kind)(*values)
            else:
                diary.write(line)
                diary.flush()
        return agent.wait()
    finally:
        _end(agent)


def _end(agent: "subprocess.Popen[str]") -> None:
    if agent.stdin is not None:
        agent.stdin.close()
    if agent.poll() is None:
        agent.terminate()
        try:
            agent.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(agent.pid, signal.SIGKILL)
            agent.wait()


def _told(failure: dict[str, Any]) -> EdgePruneError:
    error = EdgePruneError(failure["message"], failure["cure"])
    error.exit_code = failure["exit_code"]
    return error
