"""The measuring process: JSON lines in on stdin, one JSON line out for each. Run as `python -m profilers.host.worker`.

Only this process loads models. It never outlives its parent: end of input ends it, and so does an alarm per command.
"""

import argparse
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from profilers import runtimes
from profilers.errors import MeasurementError, ProfilerError

Reply = dict[str, Any]


def pin(cores: Sequence[int]) -> list[int]:
    """Run on these cores only (all, if empty); the cores that the kernel grants. Raises MeasurementError."""
    if not hasattr(os, "sched_setaffinity"):
        if cores:
            raise MeasurementError("this system cannot pin a process to cores", "measure without an affinity")
        return []
    if cores:
        try:
            os.sched_setaffinity(0, cores)
        except OSError as error:
            allowed = sorted(os.sched_getaffinity(0))
            raise MeasurementError(f"cannot run on cores {list(cores)}: {error.strerror}", f"use {allowed}") from error
    return sorted(os.sched_getaffinity(0))


def _os_threads() -> int | None:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else None


def _status_mib(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise MeasurementError(f"/proc/self/status has no {key}")


def _timed(invoke: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    invoke()
    return (time.perf_counter_ns() - start) / 1e6


class Commands:
    """The commands, one method each; sessions are kept by name."""

    def __init__(self) -> None:
        self.sessions: dict[str, runtimes.Session] = {}

    def load(self, name: str, path: str, format: str, threads: int, seed: int = 0) -> Reply:
        """Load a file, set its fixed input and run it once. Times in ms."""
        runtimes.preload(format)
        before = _os_threads()
        start = time.perf_counter_ns()
        session = runtimes.open_session(Path(path), format, threads)
        load_ms = (time.perf_counter_ns() - start) / 1e6
        session.set_inputs(runtimes.random_inputs(session, seed))
        first_ms = _timed(session.invoke)
        after = _os_threads()
        self.sessions[name] = session
        return {
            "load_ms": load_ms,
            "first_ms": first_ms,
            "runtime": session.runtime,
            "runtime_version": session.runtime_version,
            "threads": session.threads,
            "new_threads": None if before is None or after is None else after - before,
            "delegate": session.delegate,
        }

    def warm(self, name: str, runs: int, seconds: float, max_seconds: float) -> Reply:
        """At least `runs` and `seconds`, at most `max_seconds`: how many runs that took, and ms a run."""
        invoke, start, done, elapsed = self.sessions[name].invoke, time.perf_counter(), 0, 0.0
        while (done < runs or elapsed < seconds) and (elapsed < max_seconds or not done):
            invoke()
            done, elapsed = done + 1, time.perf_counter() - start
        return {"runs": done, "run_ms": elapsed / max(done, 1) * 1e3}

    def run(self, name: str, runs: int) -> Reply:
        """Every sample of `runs` runs, ms."""
        invoke = self.sessions[name].invoke
        return {"samples_ms": [_timed(invoke) for _ in range(runs)]}

    def rotate(self, names: list[str], rounds: int, burst: int) -> Reply:
        """Several models in turn: `rounds` times over all of them, `burst` runs each turn. Samples in ms by name."""
        samples: dict[str, list[float]] = {name: [] for name in names}
        turns = [(samples[name], self.sessions[name].invoke) for name in names]
        for _ in range(rounds):
            for kept, invoke in turns:
                kept.extend(_timed(invoke) for _ in range(burst))
        return {"samples_ms": samples}

    def unload(self) -> Reply:
        """Forget all models."""
        self.sessions.clear()
        gc.collect()
        return {}

    def memory(self, path: str, format: str, threads: int, runs: int, seed: int = 0) -> Reply:
        """Growth of this process's peak resident set over loading and running a file, MiB; None without /proc."""
        runtimes.preload(format)
        gc.collect()
        try:
            Path("/proc/self/clear_refs").write_text("5")
            level = _status_mib("VmRSS")
        except OSError:
            return {"peak_mib": None}
        self.load("memory", path, format, threads, seed)
        for _ in range(runs):
            self.sessions["memory"].invoke()
        return {"peak_mib": max(0.0, _status_mib("VmHWM") - level)}


def serve(commands: Commands, requests: TextIO, replies: TextIO, timeout_s: float) -> None:
    """Answer requests until the input ends. An error a user can act on is an answer; any other ends the process."""
    for line in requests:
        request = json.loads(line)
        signal.alarm(max(1, round(timeout_s)) + 5)
        try:
            reply = getattr(commands, request.pop("command"))(**request)
        except ProfilerError as error:
            reply = {"error": type(error).__name__, "message": error.message, "cure": error.cure}
        signal.alarm(0)
        print(json.dumps({**reply, "cpu_s": time.process_time()}), file=replies, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Pin, import the runtime, say ready, serve."""
    parser = argparse.ArgumentParser(prog="profilers.host.worker")
    parser.add_argument("--affinity", default="")
    parser.add_argument("--preload", default="")
    parser.add_argument("--timeout", type=float, default=120.0)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        seen = pin([int(core) for core in options.affinity.split(",") if core])
        runtimes.preload(options.preload)
        ready: Reply = {"affinity_seen": seen, "cpu_s": time.process_time()}
    except ProfilerError as error:
        ready = {"error": type(error).__name__, "message": error.message, "cure": error.cure}
    print(json.dumps(ready), file=replies, flush=True)
    if "error" not in ready:
        serve(Commands(), sys.stdin, replies, options.timeout)


if __name__ == "__main__":
    main()
