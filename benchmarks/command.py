"""`edgeprune optimize` in a process of its own, as a user runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def optimize(folder: Path, *words: str) -> dict[str, Any]:
    """What `edgeprune optimize WORDS -o FOLDER --json` prints: a result, or {"error": ...}; `exit` is its exit code.

    A finished run in the folder is made anew, one that was interrupted is gone on with. Raises RuntimeError when
    nothing was printed.
    """
    if (folder / "result.json").exists():
        shutil.rmtree(folder)
    going_on = ("--resume",) if folder.exists() else ()
    command = [sys.executable, "-m", "edgeprune", "optimize", *words, *going_on, "-o", str(folder), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout.strip():
        raise RuntimeError(f"edgeprune ended with exit code {done.returncode} and printed no result")
    return {"exit": done.returncode, **json.loads(done.stdout)}


def latency_of(result: dict[str, Any]) -> dict[str, Any]:
    """The latency requirement of a result: limit, value, ratio and its interval."""
    return next(r for r in result["budget"]["requirements"] if r["kind"] == "latency")
