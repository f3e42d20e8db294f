"""Two things that no part may rely on: a wall clock that is never set, and pickles."""

import ast
import pickle
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

import edgeprune

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    file for package in ("edgeprune", "converters", "profilers") for file in (ROOT / package).rglob("*.py")
)
# The date, for people. Nothing is computed from it.
DATES = {"datetime.now", "time.strftime", "time.gmtime", "datetime.fromisoformat"}
WALL = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.ctime",
    "datetime.today",
    "datetime.utcnow",
    "datetime.fromtimestamp",
}
# What runs code that it reads, or writes what only such a reader takes.
UNSAFE = {
    *(f"{module}.{name}" for module in ("pickle", "marshal", "dill", "cloudpickle", "joblib")
      for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler")),
    "shelve.open", "torch.save", "yaml.load", "yaml.unsafe_load", "eval", "exec",
}  # fmt: skip
# Readers that are safe with this argument alone.
ARGUMENT = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


@cache
def nodes(file: Path) -> list[ast.AST]:
    """The syntax tree of a file, flat."""
    return list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """(name as written, call) of every call in a file."""
    for node in nodes(file):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node


def imported(file: Path) -> set[str]:
    """module.name of everything that a file imports by `from module import name`."""
    froms = (node for node in nodes(file) if isinstance(node, ast.ImportFrom) and node.module)
    return {f"{node.module}.{name.name}" for node in froms for name in node.names}


def test_the_sources_were_found() -> None:
    assert len(SOURCES) > 200


def test_durations_come_from_clocks_that_nobody_sets() -> None:
    found = {(str(file.relative_to(ROOT)), name) for file in SOURCES for name, _ in calls(file) if name in WALL}
    found |= {(str(file.relative_to(ROOT)), name) for file in SOURCES for name in imported(file) & {"time.time"}}
    assert found == set()
    subtracted = {
        str(file.relative_to(ROOT))
        for file in SOURCES
        for node in nodes(file)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
        and any(isinstance(side, ast.Call) and ast.unparse(side.func) in DATES for side in (node.left, node.right))
    }  # fmt: skip
    assert subtracted == set()


def test_nothing_that_runs_code_is_read_or_written() -> None:
    found = [
        (str(file.relative_to(ROOT)), node.lineno, name)
        for file in SOURCES
        for name, node in calls(file)
        if name in UNSAFE or (name in ARGUMENT and not _has(node, *ARGUMENT[name]))
    ]
    assert found == []
    assert [(file.name, name) for file in SOURCES for name in imported(file) & UNSAFE] == []


def _has(call: ast.Call, argument: str, value: bool) -> bool:
    return any(
        k.arg == argument and isinstance(k.value, ast.Constant) and k.value.value is value for k in call.keywords
    )


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """A file that only an unpickler reads."""
    torch.save({"function": print}, tmp_path / "code.pt")
    return tmp_path / "code.pt"


def test_a_run_unpickles_nothing(
    fast: dict[str, Any], pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("something was unpickled")

    class Refusing(pickle.Unpickler):
        load = refuse

    monkeypatch.setattr(pickle, "Unpickler", Refusing)
    for name in ("load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)
    with pytest.raises(AssertionError, match="unpickled"):
        torch.load(pickled, weights_only=False)  # that the refusal works
    result = edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", **fast)
    assert result.met
    edgeprune.load(tmp_path / "run")
    edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", resume=True, **fast)


def test_a_clock_that_is_set_back_changes_no_duration(
    fast: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at the wall clock finds it an hour earlier than the last."""
    real, looks = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(looks))
    began = time.monotonic()
    result = edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", **fast)
    took = time.monotonic() - began
    assert 0 < result.seconds <= took
    assert result.recovery is not None
    assert 0 < result.recovery.seconds <= took
    assert 0 <= result.search.seconds <= took
