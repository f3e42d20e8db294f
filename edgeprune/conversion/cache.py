"""Converted files remembered by what went in, so that a second identical call takes no torch. Imports none.

A folder an entry, named by the request's key: the file, and record.json with the outcome and the fingerprints of the
user's files it was made of. The least recently used go when all together exceed `LIMIT_BYTES`.
"""

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from converters.artifact import sha256, size_bytes
from edgeprune.conversion.read_files import Fingerprints, unchanged
from edgeprune.conversion.request import Request
from edgeprune.files import copy, copy_whole

LIMIT_BYTES = 2 * 2**30


def folder() -> Path:
    """$EDGEPRUNE_CACHE/converted, else ~/.cache/edgeprune/converted."""
    chosen = os.environ.get("EDGEPRUNE_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache" / "edgeprune") / "converted"


def lookup(request: Request) -> dict[str, Any] | None:
    """Put the file of an identical, earlier request at its place and return that outcome; None if there is none."""
    entry = folder() / request.key()
    try:
        record: dict[str, Any] = json.loads((entry / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kept = entry / request.path.name
    outcome: dict[str, Any] = record["outcome"]
    if not kept.exists() or not unchanged(record["files"]) or sha256(kept) != outcome["artifact"]["sha256"]:
        return None
    os.utime(entry)
    copy_whole(kept, request.path)
    return {**outcome, "artifact": {**outcome["artifact"], "path": str(request.path)}, "cached": True}


def store(request: Request, outcome: dict[str, Any], files: Fingerprints) -> None:
    """Remember a finished conversion. Trouble with the disk is no trouble: the next call converts again."""
    entry = folder() / request.key()
    partial = entry.with_name(f".{entry.name}.{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir(parents=True)
        copy(request.path, partial / request.path.name)
        record = json.dumps({"outcome": outcome, "files": files})
        (partial / "record.json").write_text(record, encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)
        partial.rename(entry)
        _shrink()
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)


def _shrink() -> None:
    entries = sorted(folder().iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True)
    total = 0
    for entry in entries:
        total += size_bytes(entry)
        if total > LIMIT_BYTES:
            shutil.rmtree(entry, ignore_errors=True)
