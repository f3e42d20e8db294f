"""A Raspberry Pi's Python: tflite-runtime 2.14, NumPy 1, no torch. The host runner measures there, the file answers."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from converters import Options, convert
from tests.converters.conftest import Digits

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from converters.artifact import Artifact, sha256, size_bytes
from profilers.host.runner import measure
from profilers.protocol import QUICK
from profilers.runtimes import open_session

path = Path(sys.argv[1])
artifact = Artifact("litert", path, (), (), "float32", sha256(path), size_bytes(path))
found = measure({"net": artifact}, protocol=QUICK)["net"]
session = open_session(path, "litert")
answers = [session.run([x[None]])[0].tolist() for x in np.load(sys.argv[2])]
print(json.dumps({
    "answers": answers, "samples": len(found.samples_ms), "median": found.latency.median,
    "runtime": [found.device.runtime, found.device.runtime_version], "numpy": np.__version__,
    "torch": "torch" in sys.modules or any((Path(p) / "torch").exists() for p in sys.path),
}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of that environment."""
    done = subprocess.run(["make", "tflite-runtime"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ROOT / "build" / "tflite-runtime" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_the_old_runtime_measures_and_agrees(quantize: str, python: Path, digits: Digits, tmp_path: Path) -> None:
    options = Options(quantize=quantize, calibration=digits.calibration)
    artifact = convert(digits.model, digits.val[0], "litert", tmp_path / "net.tflite", options)
    images = torch.cat([x for (x,) in digits.val[:40]])
    np.save(tmp_path / "images.npy", images.numpy())
    done = subprocess.run(
        [python, "-c", PROGRAM, artifact.path, tmp_path / "images.npy"],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["runtime"] == ["litert", "2.14.0"]
    assert found["numpy"].startswith("1.")
    assert not found["torch"]
    assert found["samples"] >= 30
    assert found["median"] > 0
    with torch.no_grad():
        expected = digits.model(images).numpy()
    answers = np.array(found["answers"])[:, 0]
    if quantize == "none":
        assert np.abs(answers - expected).max() < 1e-4 * np.abs(expected).max()
    else:
        assert (answers.argmax(1) == expected.argmax(1)).mean() >= 0.97
