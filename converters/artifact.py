"""A converted file and what is known about it. Imports neither torch nor any converter."""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Format = Literal["litert", "executorch", "coreml", "onnx"]

SUFFIXES: dict[Format, str] = {"litert": ".tflite", "executorch": ".pte", "coreml": ".mlpackage", "onnx": ".onnx"}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of an artifact: shape is in the artifact's own layout, -1 for an axis that is left open.

    `ranges`: the least and the most of every axis; empty where the shape is fixed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str = ""
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Artifact:
    """A model in a mobile format, on disk.

    `normalisation` is the (mean, std) that the file applies by itself to pixels of 0 to 255; None: it takes what the
    network takes.

    `sha256` is over the file's bytes; for a folder (.mlpackage) over relative paths and bytes in sorted order.
    `versions` maps each tool that made it to its version.
    """

    format: Format
    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: str
    sha256: str
    size_bytes: int
    versions: dict[str, str] = field(default_factory=dict)
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `path` as text."""
        return {**asdict(self), "path": str(self.path)}


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def size_bytes(path: Path) -> int:
    """Bytes on disk of a file, or of all files of a folder."""
    return sum(p.stat().st_size for p in _files(path))


def sha256(path: Path) -> str:
    """Content hash of a file, or of a folder's relative names and contents."""
    digest = hashlib.sha256()
    for file in _files(path):
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()
