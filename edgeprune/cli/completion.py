"""What the shell offers for the word being typed: run directories, attached phones, models, recipes, choices.

One table by parameter name serves all commands. Nothing heavy is imported, and a completer that finds nothing says
nothing: the shell then offers files.
"""

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import typer

# The names in edgeprune.sources.models, known without torch; a test holds them together.
BUILTIN = ("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
_VISITED = 2000  # folders; a home directory is not searched to its end


def runs(incomplete: str) -> list[str]:
    """Folders that a run was written to, up to three levels below what is typed."""
    return [f"{path}" for path in _folders(incomplete) if (path / "config.yaml").is_file()]


def _folders(incomplete: str) -> Iterator[Path]:
    start = Path(incomplete if incomplete.endswith("/") else os.path.dirname(incomplete))
    level, visited = [start], 0
    for _ in range(3):
        deeper: list[Path] = []
        for folder in level:
            try:
                below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
            except OSError:
                continue
            below = [path for path in below if f"{path}/".startswith(incomplete) or incomplete.startswith(f"{path}/")]
            visited += len(below)
            if visited > _VISITED:
                return
            yield from below
            deeper += [path for path in below if not (path / "config.yaml").is_file()]
        level = deeper


def serials(incomplete: str) -> list[str]:
    """Phones that adb lists as ready; none where adb is missing or does not answer."""
    from profilers.android.adb import Adb
    from profilers.android.devices import attached
    from profilers.errors import ProfilerError

    try:
        return [phone.serial for phone in attached(Adb()) if phone.ready and phone.serial.startswith(incomplete)]
    except (ProfilerError, OSError):
        return []


def models(incomplete: str) -> list[str]:
    """Specs of networks: the built-in, torchvision's, files here, and the functions of a Python file."""
    kind, colon, _ = incomplete.partition(":")
    if kind.endswith(".py") and colon:
        return objects(incomplete)
    if kind == "torchvision" and colon:
        return [f"torchvision:{name}" for name in torchvision_names()]
    found = [f"builtin:{name}" for name in BUILTIN] + ["torchvision:", "timm:"]
    return found + files(incomplete, (".pt2", ".onnx")) + python_files(incomplete)


def torchvision_names() -> list[str]:
    """What torchvision registers as models, read from its files: importing it would take seconds."""
    spec = find_spec("torchvision")
    places = spec.submodule_search_locations if spec is not None else None
    found: set[str] = set()
    for file in Path(next(iter(places or []), "")).glob("models/**/*.py"):
        text = file.read_text(encoding="utf-8", errors="replace")
        for named, function in re.findall(
            r'^@register_model\((?:name="(\w+)")?\)\n(?s:.*?)^def (\w+)', text, re.MULTILINE
        ):
            found.add(named or function)
    return sorted(found)


def objects(incomplete: str) -> list[str]:
    """file.py:NAME for the functions and classes of a Python file; the file is read, not run."""
    place = incomplete.partition(":")[0]
    try:
        tree = ast.parse(Path(place).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    named = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [f"{place}:{name}" for name in named if not name.startswith("_")]


def files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Files of these kinds in the folder being typed."""
    folder = os.path.dirname(incomplete)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(suffixes)]


def python_files(incomplete: str) -> list[str]:
    """Python files in the folder being typed, as the beginning of file.py:NAME."""
    return [f"{path}:" for path in files(incomplete, (".py",))]


def data(incomplete: str) -> list[str]:
    """Specs of data."""
    kind, colon, _ = incomplete.partition(":")
    if kind.endswith(".py") and colon:
        return objects(incomplete)
    if kind in ("folder", "fashion-mnist") and colon:
        place = incomplete.partition(":")[2]
        start = Path(place if place.endswith("/") else os.path.dirname(place))
        return [f"{kind}:{path}" for path in sorted(start.glob("*/")) if path.is_dir()]
    return ["builtin:digits", "folder:", "fashion-mnist:", *python_files(incomplete)]


def tasks(incomplete: str) -> list[str]:
    """Specs of tasks."""
    return objects(incomplete) if ":" in incomplete else python_files(incomplete)


def recipes(incomplete: str) -> list[str]:
    """The recipes that ship, and YAML files here."""
    from edgeprune.recipe import recipe_names

    return [*recipe_names(), *files(incomplete, (".yaml", ".yml"))]


def axis(name: str, incomplete: str) -> Iterable[str]:
    """The names on one of the recipe's axes."""
    from edgeprune import recipe

    del incomplete
    known: dict[str, tuple[str, ...]] = {
        "score": recipe.SCORES,
        "allocate": recipe.ALLOCATIONS,
        "schedule": recipe.SCHEDULES,
        "recover": recipe.RECOVERIES,
    }
    return known[name]


def choices(setting: str, incomplete: str) -> list[str]:
    """The values that a setting of `Config` takes."""
    from edgeprune import config

    del incomplete
    return config.choices(setting)


def formats(incomplete: str) -> list[str]:
    """A list with commas: its last part is completed."""
    from edgeprune.config import ALL_FORMATS

    before = incomplete.rpartition(",")[0]
    there = before.split(",") if before else []
    return [",".join([*there, name]) for name in (*ALL_FORMATS, "onnx") if name not in there]


def _files_or_runs(suffixes: tuple[str, ...], incomplete: str) -> list[str]:
    return files(incomplete, suffixes) + runs(incomplete)


def _models_or_runs(incomplete: str) -> list[str]:
    return models(incomplete) + runs(incomplete)


Completer = Callable[[str], Iterable[str]]
_CONVERTED = (".tflite", ".pte", ".mlpackage")
OPTIONS: dict[str, Completer] = {
    "model": models,
    "data": data,
    "calibration": data,
    "task": tasks,
    "serial": serials,
    "recipe": recipes,
    "formats": formats,
    "to": formats,
    **{name: partial(axis, name) for name in ("score", "allocate", "schedule", "recover")},
    **{
        name: partial(choices, name)
        for name in ("target", "runtime", "runner", "quantize", "accelerator", "control")
    },
}  # fmt: skip
ARGUMENTS: dict[str, Completer] = {
    "run": runs,
    "runs": runs,
    "model": _models_or_runs,
    "file": partial(_files_or_runs, (*_CONVERTED, ".onnx")),
    "files": partial(_files_or_runs, _CONVERTED),
    "name": recipes,
}


def attach(app: typer.Typer) -> None:
    """Give every parameter of every command its completer."""
    import inspect

    for command in app.registered_commands:
        for name, parameter in inspect.signature(command.callback or (lambda: None)).parameters.items():
            for info in getattr(parameter.annotation, "__metadata__", ()):
                table = ARGUMENTS if isinstance(info, typer.models.ArgumentInfo) else OPTIONS
                if name in table and _takes_text(parameter.annotation):
                    info.autocompletion = _offer(table[name])
    for group in app.registered_groups:
        if group.typer_instance is not None:
            attach(group.typer_instance)


def _takes_text(annotation: Any) -> bool:
    """Not numbers and flags that share a name with something to complete."""
    kinds = [get_args(annotation)[0]]
    for kind in kinds:
        kinds += get_args(kind)
    return not {int, float, bool} & set(kinds)


def _offer(completer: Completer) -> Callable[[str], list[str]]:
    def offer(incomplete: str) -> list[str]:
        return [word for word in completer(incomplete) if word.startswith(incomplete)]

    return offer
