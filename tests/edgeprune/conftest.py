"""One trained ResNet-8 on digits and two finished runs on it, made once and shared by all workers."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import edgeprune
from edgeprune.cli import app

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FAST = {"data": "builtin:digits", "macs": "60%", "allocate": "uniform", "epochs": 1, "formats": "litert"}

ENLARGED = """
from torch import stack, tensor
from torch.utils.data import TensorDataset
from edgeprune.sources.digits import load

def digits(seed=0):
    found = load(None, None, seed)

    def larger(part):
        images, labels = zip(*part)
        return TensorDataset(stack(images).repeat_interleave(4, 2).repeat_interleave(4, 3), tensor(labels))

    return {name: larger(getattr(found, name)) for name in ("train", "val", "test")}
"""


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker to ask fills, and that the others wait for."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of builtin:resnet8 trained on digits for a few seconds."""
    from benchmarks.train_baseline import train

    def make(folder: Path) -> None:
        best = train("builtin:resnet8", "builtin:digits", 10, 0.1, 0, folder / "digits.safetensors")
        assert best > 0.9, "a network that learned nothing proves nothing"

    return once(tmp_path_factory, "trained", make) / "digits.safetensors"


@pytest.fixture(scope="session")
def given(trained: Path) -> list[str]:
    """The words that name model, weights and data."""
    return ["--model", "builtin:resnet8", "--weights", str(trained), "--data", "builtin:digits"]


@pytest.fixture(scope="session")
def enlarged(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same words for digits of 32x32, where the network's own work outweighs what a call costs."""
    from benchmarks.train_baseline import train

    def make(folder: Path) -> None:
        (folder / "enlarged.py").write_text(ENLARGED)
        best = train("builtin:resnet8", f"{folder}/enlarged.py:digits", 4, 0.1, 0, folder / "digits.safetensors")
        assert best > 0.8, "a network that learned nothing proves nothing"

    folder = once(tmp_path_factory, "enlarged", make)
    weights, data = folder / "digits.safetensors", folder / "enlarged.py"
    return ["--model", "builtin:resnet8", "--weights", str(weights), "--data", f"{data}:digits"]


@pytest.fixture(scope="session")
def run(given: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """One whole run: latency 60 %, all formats. Its folder, its exit code and result.json."""

    def make(folder: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "edgeprune", "optimize", *given, "--target", "host", "--latency", "60%",
             "--epochs", "2", "--json", "-o", str(folder / "run")],
            capture_output=True, text=True, cwd=folder, check=False,
            env={**ENVIRONMENT, "EDGEPRUNE_CACHE": str(folder / "cache")},
        )  # fmt: skip
        assert done.returncode in (0, 4), done.stderr
        (folder / "done.json").write_text(
            json.dumps({"code": done.returncode, "json": json.loads(done.stdout), "stderr": done.stderr})
        )

    folder = once(tmp_path_factory, "whole", make)
    return {"path": folder / "run", **json.loads((folder / "done.json").read_text())}


@pytest.fixture(scope="session")
def fast(trained: Path) -> dict:
    """Settings of the shortest real run: uniform widths, 60 % of the MACs, one epoch, LiteRT alone."""
    return {**FAST, "weights": str(trained)}


@pytest.fixture(scope="session")
def fast_run(fast: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a finished run with those settings."""
    return (
        once(
            tmp_path_factory,
            "fast",
            lambda folder: edgeprune.optimize("builtin:resnet8", output=folder / "run", **fast) and None,
        )
        / "run"
    )


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """cli("optimize", ...) runs the program in this process, in an empty folder; text comes without line breaks."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Result:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """program("optimize", ...) starts the program as a user would, in a process group of its own."""

    def start(*words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edgeprune", *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
            env={**ENVIRONMENT, "EDGEPRUNE_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip

    return start
