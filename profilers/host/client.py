"""The other end of a measuring process: start it, ask it, and let none of its failures go unexplained."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from profilers import errors

WORKER = (sys.executable, "-P", "-m", "profilers.host.worker")
STDERR_TAIL_LINES = 12


class Worker:
    """One fresh measuring process. A context manager: leaving it kills the process, on Ctrl-C too.

    `affinity`: cores to run on. `preload`: format whose runtime is imported at once. `timeout_s`: longest silence.
    All methods raise MeasurementError if the process crashes (with the end of its stderr) or falls silent.
    """

    def __init__(self, *, affinity: Sequence[int] | None = None, preload: str = "", timeout_s: float = 120.0) -> None:
        self.affinity = tuple(affinity or ())
        self.cpu_s = 0.0
        self._timeout_s = timeout_s
        self._ready: dict[str, Any] | None = None
        self._subject = ""
        self._buffer = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        arguments = ("--affinity", ",".join(map(str, self.affinity)), "--preload", preload, "--timeout", str(timeout_s))
        self._process = subprocess.Popen(
            [*WORKER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def affinity_seen(self) -> tuple[int, ...]:
        """The cores that the kernel granted."""
        self._wait_ready()
        assert self._ready is not None
        return tuple(self._ready["affinity_seen"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process. May be called again."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                stream.close()

    def load(self, name: str, path: Path, format: str, threads: int) -> dict[str, Any]:
        """Load a file under a name and run it once: load_ms, first_ms, runtime, runtime_version, threads, delegate."""
        self._subject = path.name
        return self.ask("load", name=name, path=str(path), format=format, threads=threads)

    def warm(self, name: str, *, runs: int, seconds: float, max_seconds: float) -> float:
        """Warm a model up; the mean ms a run."""
        return float(self.ask("warm", name=name, runs=runs, seconds=seconds, max_seconds=max_seconds)["run_ms"])

    def run(self, name: str, runs: int) -> list[float]:
        """Samples of `runs` runs, ms."""
        return list(self.ask("run", name=name, runs=runs)["samples_ms"])

    def rotate(self, names: Sequence[str], *, rounds: int, burst: int) -> dict[str, list[float]]:
        """Samples of several models that take turns, ms, by name."""
        return dict(self.ask("rotate", names=list(names), rounds=rounds, burst=burst)["samples_ms"])

    def unload(self) -> None:
        """Forget all models."""
        self.ask("unload")

    def memory(self, path: Path, format: str, threads: int, runs: int = 5) -> float | None:
        """Peak memory of a file, MiB above the level after imports; None where the system cannot say. Use once."""
        self._subject = path.name
        peak = self.ask("memory", path=str(path), format=format, threads=threads, runs=runs)["peak_mib"]
        return None if peak is None else float(peak)

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        if self._stderr.closed:
            raise errors.MeasurementError("the measuring process is already closed")
        self._wait_ready()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._died() from error
        return self._answer()

    def _wait_ready(self) -> None:
        if self._ready is None:
            self._ready = self._answer()

    def _answer(self) -> dict[str, Any]:
        reply = json.loads(self._line())
        self.cpu_s = reply.get("cpu_s", self.cpu_s)
        if "error" in reply:
            known = getattr(errors, reply["error"], errors.MeasurementError)
            raise known(reply["message"], reply["cure"])
        return dict(reply)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._process.kill()
                    raise errors.MeasurementError(
                        f"{self._subject or 'the measuring process'} gave no answer for {self._timeout_s:g} s",
                        "a smaller model or input, fewer threads, or a longer timeout",
                    )
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._died()
                self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _died(self) -> errors.MeasurementError:
        code = self._process.wait()
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._stderr.seek(0)
        tail = self._stderr.read().decode(errors="replace").strip().splitlines()[-STDERR_TAIL_LINES:]
        said = "\n".join(tail) or "nothing on stderr"
        subject = f" on {self._subject}" if self._subject else ""
        return errors.MeasurementError(f"the measuring process died{subject} ({reason}):\n{said}")
