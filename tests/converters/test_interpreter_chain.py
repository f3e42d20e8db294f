"""Who runs a .tflite: ai-edge-litert, else tflite-runtime, else TensorFlow. The same file, the same answers."""

import importlib.metadata
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from converters import convert
from profilers.errors import RuntimeNotInstalled
from profilers.runtimes import open_session
from tests.converters.conftest import Digits

ROOT = Path(__file__).parents[2]
CHAIN = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)


@pytest.fixture(scope="module")
def file(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "net.tflite"
    convert(digits.model, digits.val[0], "litert", path)
    return path


@pytest.mark.parametrize("first", range(len(CHAIN)))
def test_the_first_that_is_installed_runs_it(
    first: int, file: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules are faked at their edge alone: whatever the name, the interpreter behind it is the real one."""
    from ai_edge_litert.interpreter import Interpreter

    version = importlib.metadata.version
    for module, _ in CHAIN[:first]:
        monkeypatch.setitem(sys.modules, module.split(".")[0], None)
        monkeypatch.setitem(sys.modules, module, None)
    module, distribution = CHAIN[first]
    if first:
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[module].Interpreter = Interpreter  # type: ignore[attr-defined]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "7.7" if name == distribution else version(name))
    session = open_session(file, "litert")
    assert (session.runtime, session.runtime_version) == ("litert", "7.7")
    (found,) = session.run([digits.val[0][0].numpy()])
    expected = digits.model(digits.val[0][0]).detach().numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_none_of_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, _ in CHAIN:
        monkeypatch.setitem(sys.modules, module.split(".")[0], None)
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RuntimeNotInstalled, match="no LiteRT runtime") as caught:
        open_session(file, "litert")
    assert "pip install ai-edge-litert" in caught.value.cure


PROGRAM = """
import sys
sys.modules["ai_edge_litert"] = None  # it is in that environment too
import numpy as np
from profilers.runtimes import open_session

session = open_session(sys.argv[1], "litert")
assert type(session._interpreter).__module__.startswith("tensorflow.lite"), type(session._interpreter)
np.save(sys.argv[2], session.run([np.load(sys.argv[3])])[0])
print(session.runtime_version)
"""


@pytest.mark.slow
def test_tensorflow_itself(file: Path, digits: Digits, tmp_path: Path) -> None:
    """In the environment of onnx2tf, which holds TensorFlow."""
    made = subprocess.run(["make", "onnx2tf"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    np.save(tmp_path / "in.npy", digits.val[0][0].numpy())
    done = subprocess.run(
        [ROOT / ".venv-onnx2tf" / "bin" / "python", "-c", PROGRAM, file, tmp_path / "out.npy", tmp_path / "in.npy"],
        env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1].startswith("2.")
    expected = digits.model(digits.val[0][0]).detach().numpy()
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() < 1e-4 * np.abs(expected).max()
