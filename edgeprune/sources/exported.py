"""A `.pt2` file as a module, read only if nothing in it can run code.

`torch.export.load` (2.14) unpickles constants that are marked so and sample inputs that are more than tensors, hands
symbolic shapes to sympy, which evaluates them, and resolves operator names under all of `torch`. All four are looked
for before it is called.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from edgeprune.errors import UsageError
from edgeprune.sources.graph_layers import as_layers
from edgeprune.sources.relative_shapes import free_shapes

SAFE_TARGETS = ("torch.ops.", "_operator.getitem")
TENSOR_FILES = ("weight_", "tensor_")


def load_exported(path: Path) -> nn.Module:
    """The network of an exported program, in eval mode, made of layers: it is pruned and trained like any other.

    Raises UsageError if the file is missing, broken, or holds what only code could rebuild (the reason is given).
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            reason = _objection(archive)
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError, EOFError) as error:
        raise UsageError(f"{path} is no .pt2 archive: {error}", "is the file complete?") from error
    if reason:
        raise UsageError(f"{path} is refused: {reason}", "give the model as file.py:function")
    try:
        module = torch.export.load(path).module(check_guards=False)
        assert isinstance(module, fx.GraphModule)
        return _like_any_module(module)
    except (RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UsageError(f"{path} cannot be loaded: {error}", "export it again with this version of torch") from error


def _like_any_module(module: fx.GraphModule) -> nn.Module:
    """The exported module with layers, open to other batch sizes than its example's, and to train() and eval()."""
    for name in ("train", "eval"):
        vars(module).pop(name, None)  # they raise
    for key, hook in list(module._forward_pre_hooks.items()):
        if getattr(hook, "__name__", "") == "_check_input_constraints_pre_hook":
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
    return as_layers(free_shapes(module)).eval()


def _objection(archive: zipfile.ZipFile) -> str:
    names = archive.namelist()
    if len({name.lower() for name in names}) != len(names):
        return "two of its parts have the same name"
    if not any(name.endswith("/archive_format") for name in names):
        return "it is of an old format, whose parts are pickled"
    for name in names:
        if name.endswith(".json"):
            for key, value in _entries(json.loads(archive.read(name))):
                if key == "use_pickle" and value:
                    return f"{name} has a pickled part, and unpickling can run code"
                if key == "path_name" and not str(value).startswith(TENSOR_FILES):
                    return f"{name} has an object of its own class ({value}), and unpickling can run code"
                if key == "expr_str":
                    return "its shapes are symbolic, and they would be evaluated as code: export it with fixed shapes"
                if key == "target" and not str(value).startswith(SAFE_TARGETS):
                    return f"it calls {value}, which is no operator"
        elif "/sample_inputs/" in name:
            try:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            except (pickle.UnpicklingError, RuntimeError) as error:
                return f"{name} holds more than tensors, and unpickling can run code ({str(error).splitlines()[0]})"
    return ""


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _entries(item)
    elif isinstance(value, list):
        for item in value:
            yield from _entries(item)
