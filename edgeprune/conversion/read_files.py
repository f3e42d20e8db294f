"""Which of the user's files a piece of work reads, and whether they have changed since. Imports no torch."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Fingerprints = dict[str, dict[str, Any]]

_IMPORTS = "<frozen importlib._bootstrap_external>"
_watched: list[set[str]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | os.PathLike):
        if event == "os.listdir" and sys._getframe(1).f_code.co_filename == _IMPORTS:
            return  # where modules are looked for: those found are told below, what else lies there is no matter
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if not writes:
            _watched[-1].add(os.path.abspath(arguments[0]))


@contextmanager
def watched() -> Iterator[set[str]]:
    """The files opened and folders listed by this process inside the block, the modules imported there too.

    Python's own audit events tell (sys.addaudithook); a library that opens files by itself is not seen.
    """
    if not getattr(watched, "installed", False):
        sys.addaudithook(_audit)
        watched.installed = True  # type: ignore[attr-defined]
    seen: set[str] = set()
    before = set(sys.modules)
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.remove(seen)
        files = [getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before]
        seen |= {os.path.abspath(file) for file in files if file}


def fingerprints(paths: set[str]) -> Fingerprints:
    """What tells each of the user's files among `paths` from another version: size, time, sha256."""
    return {path: _fingerprint(path) for path in sorted(paths) if _is_users(path) and os.path.exists(path)}


def unchanged(known: Fingerprints) -> bool:
    """Whether every file is what it was: by size and time, and where these differ by its sha256."""
    return all(_same(path, old) for path, old in known.items())


def _same(path: str, old: dict[str, Any]) -> bool:
    try:
        stat = os.stat(path)
    except OSError:
        return False
    if not os.path.isdir(path) and [stat.st_size, stat.st_mtime_ns] == [old["size"], old["mtime_ns"]]:
        return True
    return bool(_sha256(path) == old["sha256"])


def _fingerprint(path: str) -> dict[str, Any]:
    stat = os.stat(path)
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": _sha256(path)}


def _sha256(path: str) -> str:
    if os.path.isdir(path):
        return hashlib.sha256("\0".join(sorted(os.listdir(path))).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_users(path: str) -> bool:
    """Not Python's, not an installed package's, not ours, not the system's view of itself: those have versions."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    ours = {str(Path(__file__).resolve().parents[2] / name) for name in ("edgeprune", "converters", "profilers")}
    passing = ("/proc", "/sys", "/dev")
    return "__pycache__" not in path and not any(
        path == place or path.startswith(f"{place}/") for place in (*places, *ours, *passing)
    )
