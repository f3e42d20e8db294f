"""One trained ResNet-8 on digits and one whole run on it, shared by the tests of this folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def edgeprune(*words: str, cwd: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as a user would."""
    environment = {**os.environ, "EDGEPRUNE_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "edgeprune", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of builtin:resnet8 trained on digits for a few seconds."""
    from benchmarks.train_baseline import train

    path = tmp_path_factory.mktemp("trained") / "digits.safetensors"
    best = train("builtin:resnet8", "builtin:digits", 10, 0.1, 0, path)
    assert best > 0.9, "a network that learned nothing proves nothing"
    return path


@pytest.fixture(scope="session")
def given(trained: Path) -> list[str]:
    """The words that name model, weights and data."""
    return ["--model", "builtin:resnet8", "--weights", str(trained), "--data", "builtin:digits"]


@pytest.fixture(scope="session")
def run(given: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """One whole run: latency 60 %, all formats. Its folder, its exit code and result.json."""
    folder = tmp_path_factory.mktemp("whole")
    done = edgeprune(
        "optimize", *given, "--target", "host", "--latency", "60%", "--epochs", "2", "--json",
        "-o", str(folder / "run"),
        cwd=folder, cache=folder / "cache",
    )  # fmt: skip
    assert done.returncode in (0, 4), done.stderr
    return {"path": folder / "run", "code": done.returncode, "json": json.loads(done.stdout), "stderr": done.stderr}
