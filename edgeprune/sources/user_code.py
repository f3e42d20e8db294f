"""The user's own Python: `file.py:name` or `package.module:name`."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeprune.errors import EdgePruneError, UsageError


def is_user_code(spec: str) -> bool:
    """Whether a spec reads `something:name` with a Python file or a dotted module before the colon."""
    module, colon, name = spec.rpartition(":")
    return bool(colon) and name.isidentifier() and (module.endswith(".py") or module.replace(".", "a").isidentifier())


def load_object(spec: str) -> Any:
    """The object a spec names. Raises UsageError if the file, the module or the name in it does not exist."""
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise UsageError(f"{spec!r} names no function", "write file.py:function or package.module:function")
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if _is_own(module, key, value)]
        close = get_close_matches(name, own, n=1)
        there = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"{source} has no {name!r}", f"{there}It defines: {', '.join(own) or 'nothing'}")
    return getattr(module, name)


def call_with(function: Any, spec: str, **offered: Any) -> Any:
    """function(**those of the offered arguments that it accepts and that are not None)."""
    if not callable(function):
        raise UsageError(f"{spec} is not a function but a {type(function).__name__}")
    parameters = inspect.signature(function).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {key: value for key, value in offered.items() if value is not None and (takes_all or key in parameters)}
    try:
        return function(**given)
    except EdgePruneError:
        raise
    except Exception as error:
        raise UsageError(f"{spec} failed: {type(error).__name__}: {error}", _where(error)) from error


def _is_own(module: ModuleType, key: str, value: Any) -> bool:
    return not key.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "write file.py:function")
    path = path.resolve()
    name = f"edgeprune_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise UsageError(f"{path} cannot be imported", "give a Python source file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} failed to import: {type(error).__name__}: {error}", _where(error)) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _import_module(name: str) -> ModuleType:
    """An installed module, or else one of the working folder, which a program's own path does not hold."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"there is no module {error.name!r}", "install it, run from its folder, or write file.py:function"
        ) from error
    except Exception as error:
        raise UsageError(f"{name} failed to import: {type(error).__name__}: {error}", _where(error)) from error
    finally:
        sys.path.remove(here)


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"see {frame.filename}, line {frame.lineno}: {frame.line}"
