"""Several conversions at once, each in a fresh process. Imports no torch."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeprune.conversion.cache import lookup
from edgeprune.conversion.description import describe
from edgeprune.conversion.request import Request
from edgeprune.errors import EnvironmentProblem
from edgeprune.files import disk_trouble
from edgeprune.progress import Progress


def convert_all(
    requests: list[Request], log: Path, jobs: int, use_cache: bool, progress: Progress
) -> list[dict[str, Any]]:
    """The outcome of each request, in order: from the cache, or of a process of its own, `jobs` at a time.

    A failed one is {"error": {"message", "cure", "exit_code"}}. What the libraries print is appended to `log`.
    """
    outcomes = {i: lookup(request) if use_cache else None for i, request in enumerate(requests)}
    missing = [i for i, outcome in outcomes.items() if outcome is None]
    if missing:
        progress.stage(f"Converting to {', '.join(requests[i].format for i in missing)}")
        with disk_trouble(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
    running: list[subprocess.Popen[str]] = []
    pool = ThreadPoolExecutor(max_workers=max(jobs, 1))
    try:
        futures = {pool.submit(_converted, requests[i], log, running): i for i in missing}
        for done, future in enumerate(as_completed(futures), start=1):
            i = futures[future]
            outcomes[i] = future.result()
            progress.advance(done, len(missing), requests[i].format)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.kill()
    found = [outcome for outcome in outcomes.values() if outcome is not None]
    for outcome in found:
        if "error" not in outcome:
            describe(outcome)
    return found


def _converted(request: Request, log: Path, running: list[subprocess.Popen[str]]) -> dict[str, Any]:
    reader, writer = os.pipe()
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
    try:
        with log.open("a") as diary:
            process = subprocess.Popen(  # -P: a folder called edgeprune in the user's own is not ours
                [sys.executable, "-P", "-m", "edgeprune.conversion.worker", str(writer)],
                stdin=subprocess.PIPE, stdout=diary, stderr=diary, pass_fds=(writer,), text=True,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
    finally:
        os.close(writer)
    running.append(process)
    assert process.stdin is not None
    with os.fdopen(reader) as pipe:
        with process.stdin as stdin:
            stdin.write(json.dumps(asdict(request)))
        answer = pipe.read()
    process.wait()
    if not answer:
        crash = EnvironmentProblem(
            f"The process that converts to {request.format} ended with code {process.returncode}.",
            f"Is there enough memory? The last lines of {log} may tell more.",
        )
        return {"error": {"message": crash.message, "cure": crash.cure, "exit_code": crash.exit_code}}
    outcome: dict[str, Any] = json.loads(answer)
    return outcome
