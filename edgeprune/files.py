"""Files written whole or not at all, and disk trouble told in words."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import EnvironmentProblem

if TYPE_CHECKING:
    from torch import Tensor

_CURES = {
    "No space left on device": "Free some space, or choose another folder with -o.",
    "Permission denied": "Choose a folder you may write to with -o.",
    "Read-only file system": "Choose a folder you may write to with -o.",
}


@contextmanager
def disk_trouble(what: Path) -> Iterator[None]:
    """Turn an OSError inside the block into an EnvironmentProblem that names the path and the cure."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        cure = _CURES.get(reason, "Check the folder given with -o.")
        raise EnvironmentProblem(f"{what} cannot be written: {reason}.", cure) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well and vanishes when it does not.

    It may become a folder; a folder at `path` has to be removed inside the block.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with disk_trouble(path):
        try:
            yield partial
            if partial.is_file():
                partial.chmod(0o666 & ~_umask())  # some writers make files that only their owner can read
            os.replace(partial, path)
        finally:
            if partial.is_dir():
                shutil.rmtree(partial)
            partial.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder, such as an .mlpackage. Raises OSError."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file or folder to `target`, whole or not at all, over what is there. Raises EnvironmentProblem."""
    with whole(target) as partial:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(source, partial)
        if target.is_dir():
            shutil.rmtree(target)


def save_tensors(tensors: dict[str, "Tensor"], path: Path, record: str | None = None) -> None:
    """Write a .safetensors file, whole or not at all, `record` in its metadata. Raises EnvironmentProblem."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with whole(path) as partial:
        try:
            save_file(tensors, partial, metadata=None if record is None else {"record": record})
        except SafetensorError as error:  # what safetensors makes of a full disk
            raise OSError(0, str(error)) from error


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all. Raises EnvironmentProblem."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; NaN is refused, since JSON has none. Raises EnvironmentProblem."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
