"""Artifacts to measure: real .tflite files of one layer, and files for the fake session."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.artifact import Artifact, sha256, size_bytes
from profilers.host import client
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerKey

MakeArtifact = Callable[..., Artifact]


def artifact(path: Path, format: Any) -> Artifact:
    return Artifact(format, path, (), (), "float32", sha256(path), size_bytes(path))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeArtifact:
    """fake(busy_ms=3) is an artifact that the fake session runs; workers are fake workers."""
    monkeypatch.setattr(client, "WORKER", (sys.executable, "-P", str(Path(__file__).parent / "fake_worker.py")))

    def make(**orders: Any) -> Artifact:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.fake"
        path.write_text(json.dumps(orders))
        return artifact(path, "fake")

    return make


@pytest.fixture
def layer(tmp_path: Path) -> MakeArtifact:
    """layer(key) is a .tflite of that layer."""

    def make(key: LayerKey) -> Artifact:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tflite"
        path.write_bytes(layer_file(key))
        return artifact(path, "litert")

    return make
