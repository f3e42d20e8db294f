"""Every command of README and docs is executed, in a folder that holds what the pages talk about.

`optimize` runs as a dry run, which does all that a run does before its first stage; the tutorial's commands are
executed as they stand by tests/docs, `--masked` and what converts, measures or prunes in the slow tests, what needs a
phone on the emulated one. `table check` measures two random networks instead of 200. Those that name the lab's Ray
cluster are executed with a cluster of this machine by tests/edgeprune/farm.
"""

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

import edgeprune
from edgeprune.cli import app
from edgeprune.sources.models import load_model
from tests.docs.pages import ROOT, blocks, commands

NET = """
from torch import nn

def make(num_classes=2):
    layers = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes))
"""
SETTINGS = "model: net.py:make\nweights: net.safetensors\ndata: folder:pictures\n"


def kind(page: str, line: str) -> str:
    """Which of the tests below executes a command."""
    words = shlex.split(line, comments=True)
    if page == "tutorial.md":
        return "tutorial"
    if "lab-1:6379" in words:
        return "lab"
    if "android" in words or words[1] == "devices":
        return "phone"
    if words[1] in ("convert", "check", "prune", "table") or "--masked" in words or ".pte" in line or "bench" in words:
        return "slow"
    return "quick"


def of_kind(wanted: str) -> list[str]:
    """The commands of a kind, each once."""
    return list(dict.fromkeys(line.split("  #")[0].strip() for page, line in commands() if kind(page, line) == wanted))


@pytest.fixture
def place(tmp_path: Path, trained: Path, fast_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name, as the working one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "edgeprune.yaml").write_text(SETTINGS)
    torch.manual_seed(0)
    save_file(load_model("net.py:make", num_classes=2).state_dict(), "net.safetensors")
    for number in range(24):
        folder = tmp_path / "pictures" / ("val" if number % 3 == 0 else "train") / ("cats", "dogs")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((96, 96), 20 + number).convert("RGB").save(folder / f"{number}.png")
    shutil.copy(trained, "digits.safetensors")
    for run in ("demo", "NAME"):
        shutil.copytree(fast_run, tmp_path / "runs" / run)
    for file in ("model", "converted/resnet8", "files/NAME"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(fast_run / "artifacts" / "pruned.tflite", f"{file}.tflite")
    for name, text in ((name, text) for _, name, text in blocks(ROOT / "docs" / "add-a-method.md") if name):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def call(line: str, *more: str) -> Result:
    """Execute a command of the pages; a torchvision network gets weights that fit it."""
    words = shlex.split(line, comments=True)[1:]
    if words[0] == "optimize" and "torchvision:mobilenet_v2" in words:
        save_file(load_model("torchvision:mobilenet_v2", num_classes=2).state_dict(), "net.safetensors")
    done = CliRunner().invoke(app, [*words, *more])
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_every_command_has_its_test() -> None:
    assert {kind(page, line) for page, line in commands()} == {"quick", "slow", "phone", "tutorial", "lab"}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("line", of_kind("quick"))
def test_quick(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line)
    if words[1] == "init":
        Path("edgeprune.yaml").unlink()
    if "import" in words:
        assert call(f"edgeprune measurements export {words[-1]}").exit_code == 0
    if words[1] == "doctor":
        monkeypatch.setenv("PATH", "")  # no adb of this machine is asked
    dry = words[1] == "optimize" and "--dry-run" not in words
    done = call(line.replace(" --plan", ""), *(["--dry-run"] if dry else []))
    assert done.exit_code in ((0, 3) if words[1] == "doctor" else (0,)), done.stderr
    assert done.stdout or "Wrote" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_slow(trained: Path, fast: dict[str, Any]) -> None:
    """In the order of the pages: some need the files of those before."""
    shutil.rmtree("runs/demo")
    edgeprune.optimize("builtin:resnet8", output="runs/demo", **{**fast, "formats": ["litert", "coreml"]})
    network = edgeprune.load("runs/demo")
    import converters

    for name, given in (("dense", load_model("builtin:resnet8", trained, num_classes=10, in_channels=1)),
                        ("pruned", network)):  # fmt: skip
        converters.convert(given, (torch.zeros(1, 1, 8, 8),), "executorch", Path(f"{name}.pte"))
    for line in of_kind("slow"):
        more = ["--networks", "2"] if "table check" in line else []
        shutil.rmtree("slim", ignore_errors=True)
        done = call(line, *more)
        assert done.exit_code == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.debian("aapt")
@pytest.mark.debian("maven")
@pytest.mark.debian("apksigner")
@pytest.mark.debian("zipalign")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.usefixtures("native", "place", "phone")
@pytest.mark.parametrize("line", of_kind("phone"))
def test_on_the_emulated_phone(line: str) -> None:
    dry = ["--dry-run"] if line.startswith("edgeprune optimize") else []
    done = call(line, *dry)
    assert done.exit_code == 0, done.stderr
    assert "emulated" in done.stdout


@pytest.mark.slow
def test_python_of_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """README's and the reference's blocks, with the names that they take for granted."""
    monkeypatch.chdir(tmp_path)
    from edgeprune.sources.data import load_data
    from edgeprune.task import Classification

    data = load_data("builtin:digits")
    task = Classification(10, data.class_names)
    model = load_model("builtin:resnet8", num_classes=10, in_channels=1).eval()
    names: dict[str, Any] = {
        "model": model, "example_input": torch.zeros(1, 1, 8, 8), "train": data.train, "val": data.val,
        "loss": task.loss, "evaluate": task.evaluate,
    }  # fmt: skip
    short: Callable[..., Any] = edgeprune.optimize
    monkeypatch.setattr(edgeprune, "optimize", lambda *a, **k: short(*a, **k, epochs=1, formats=["litert"]))
    exec(_python("README.md"), dict(names))
    shutil.rmtree("runs")
    text = _python("docs/reference.md")
    before, after = text.split("again = ")
    exec(before, names)
    made = sorted(os.listdir("runs"))
    exec("again = " + after.replace("runs/net-host-50pct", f"runs/{made[0]}").replace(")", ", model)"), names)


def _python(page: str) -> str:
    return next(text for language, _, text in blocks(ROOT / page) if language == "python")
