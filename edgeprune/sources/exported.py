"""A `.pt2` file as a module: read only if nothing in it has to be unpickled."""

import io
import json
import zipfile
from pathlib import Path

import torch
from torch import nn

from edgeprune.errors import UsageError


def load_exported(path: Path) -> nn.Module:
    """The module of an exported program: it answers and is measured, in eval mode (training it is another matter).

    `torch.export.load` unpickles sample inputs, custom objects and unusual tensors. Sample inputs that plain tensors
    explain are accepted; anything else is refused with the reason, as a UsageError.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            reason = _needs_pickle(archive)
    except zipfile.BadZipFile as error:
        raise UsageError(f"{path} is no .pt2 archive: {error}", "is the file complete?") from error
    if reason:
        raise UsageError(
            f"{path} is refused: {reason}, and unpickling can run code", "give the model as file.py:function"
        )
    try:
        return torch.export.load(path).module()
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be loaded: {error}", "export it again with this version of torch") from error


def _needs_pickle(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if not any(name.endswith("archive_format") for name in names):
        return "it is of an old format whose parts are pickled"
    for name in names:
        if name.endswith("_config.json"):
            for entry, payload in json.loads(archive.read(name)).get("config", {}).items():
                if payload.get("use_pickle"):
                    return f"{entry} is pickled"
        if "/data/sample_inputs/" in name or "/data/constants/custom_obj" in name:
            try:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            except Exception as error:
                return f"{name} holds more than tensors ({str(error).splitlines()[0]})"
    return ""
