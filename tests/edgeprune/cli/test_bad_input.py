"""Bad input: the exit code, what was found, what to do; no traceback, no run directory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

BUILTIN = ("--model", "builtin:resnet8", "--data", "builtin:digits")
HALF = ("--latency", "50%")


@pytest.fixture
def refused(cli, tmp_path):
    """refused(code, ...) runs `optimize`, which has to fail with that code, and gives message and cure."""

    def call(code, *words, output="run", formats="litert"):
        done = cli("optimize", *words, "-o", output, "--formats", formats, "--json")
        error = json.loads(done.stdout)["error"]
        assert (done.exit_code, error["exit_code"]) == (code, code), error
        assert error["message"] in " ".join(done.stderr.split()) or len(error["message"]) > 70
        assert not (tmp_path / "run").exists()
        return error["message"], error["cure"]

    return call


@pytest.mark.parametrize(
    ("words", "found", "nearest"),
    [
        (("--model", "torchvision:mobilnet_v2", *HALF), "torchvision:mobilnet_v2", "torchvision:mobilenet_v2"),
        (("--model", "builtin:resnet9", *HALF), "builtin:resnet9", "builtin:resnet8"),
        (("--model", "resnet20", *HALF), "'resnet20'", "builtin:resnet20"),
        (("--recipe", "precroping", *HALF), "'precroping'", "precropping"),
        (("--recipe", "beta_rank", *HALF), "'beta_rank'", "beta-rank"),
        (("--score", "beta_rank", *HALF), "'beta_rank'", "beta-rank"),
        (("--score", "tailor", *HALF), "'tailor'", "taylor"),
        (("--allocate", "latecny", *HALF), "'latecny'", "latency"),
    ],
)
def test_unknown_names_come_with_the_nearest(refused, words, found, nearest):
    message, cure = refused(2, *BUILTIN, *words)
    assert found in message
    assert nearest in message + cure


@pytest.mark.parametrize(
    ("words", "found", "cure"),
    [
        (("--latency", "soon"), "'soon'", "20ms"),
        (("--latency", "20"), "'20'", "20ms"),
        (("--latency", "200%"), "more than the dense network takes", "at most 100%"),
        (("--latency", "0ms"), "not a positive amount", "20ms"),
        (("--memory", "3 apples"), "'3 apples'", "30MB"),
        ((), "No budget given", "--latency 50%"),
        ((*HALF, "--target", "fridge"), "'fridge'", "--help"),
        ((*HALF, "--target", "andriod"), "did you mean android?", "--help"),
        ((*HALF, "--weights", "none.safetensors"), "none.safetensors", ""),
        ((*HALF, "--config", "none.yaml"), "none.yaml", "edgeprune init"),
        ((*HALF, "--task", "none.py:Task"), "none.py", "file.py:function"),
    ],
)
def test_settings_that_cannot_be_understood(refused, words, found, cure):
    message, advice = refused(2, *BUILTIN, *words)
    assert found in message
    assert cure in advice


NETS = {
    "branch": ("        y = self.fc(x.flatten(1))\n        return y if y.sum() > 0 else -y\n", "if y.sum() > 0"),
    "item": ("        return self.fc(x.flatten(1)) * float(x.mean().item() > 0.1)\n", "x.mean().item()"),
    "numpy": ("        return self.fc(torch.from_numpy(abs(x.numpy())).flatten(1))\n", "x.numpy()"),
}


@pytest.mark.parametrize("kind", NETS)
def test_a_model_that_cannot_be_exported_names_the_line(refused, tmp_path, kind):
    body, culprit = NETS[kind]
    (tmp_path / "net.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.fc = torch.nn.Linear(64, 10)\n\n    def forward(self, x):\n{body}\n\n"
        "def make():\n    return Net()\n"
    )
    lines = (tmp_path / "net.py").read_text().splitlines()
    number = next(index for index, line in enumerate(lines, start=1) if culprit in line)
    message, _ = refused(2, "--model", "net.py:make", "--data", "builtin:digits", *HALF)
    assert f"net.py:{number}" in message
    assert culprit in message


BESSEL = "        return self.fc(torch.special.bessel_j0(y))\n"


@pytest.fixture
def bessel(refused, tmp_path):
    """What is said of a network with an op that LiteRT does not have."""
    (tmp_path / "net.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(1, 16, 3)\n        self.fc = torch.nn.Linear(16, 10)\n\n"
        f"    def forward(self, x):\n        y = self.conv(x).mean((2, 3))\n{BESSEL}\n\n"
        "def make():\n    torch.manual_seed(0)\n    return Net()\n"
    )
    return refused(2, "--model", "net.py:make", "--data", "builtin:digits", "--file-size", "50%")


def test_an_op_that_a_format_cannot_hold_is_named(bessel):
    message, cure = bessel
    assert "litert has no way to express aten.special_bessel_j0" in message
    assert "--formats" in cure


def test_an_op_that_a_format_cannot_hold_is_named_with_its_line(bessel):
    assert "net.py:12" in bessel[0]


def test_nan_in_weights_names_the_tensor(refused, trained, tmp_path):
    weights = load_file(trained)
    weights["fc.weight"][0, 0] = torch.nan
    save_file(weights, tmp_path / "nan.safetensors")
    message, _ = refused(2, *BUILTIN, *HALF, "--weights", tmp_path / "nan.safetensors")
    assert "fc.weight" in message


def test_weights_of_another_network(refused, trained):
    message, _ = refused(2, "--model", "builtin:resnet20", "--data", "builtin:digits", *HALF, "--weights", trained)
    assert "stages.layer1.1.conv1.weight" in message


@pytest.mark.parametrize(("shift", "label"), [(7, 7), (-1, -1)])
def test_labels_out_of_range(refused, tmp_path, shift, label):
    (tmp_path / "data.py").write_text(
        "import torch\nfrom sklearn.datasets import load_digits\nfrom torch.utils.data import TensorDataset\n\n\n"
        "def make():\n    images = load_digits().images[:40, None]\n"
        "    x, y = torch.tensor(images).float(), torch.arange(40) % 4\n"
        f"    return {{'train': TensorDataset(x, y), 'val': TensorDataset(x, y + {shift}), 'class_names': 'abcd'}}\n"
    )
    message, cure = refused(2, "--model", "builtin:resnet8", "--data", "data.py:make", *HALF)
    assert f"label {label} in val is out of range" in message
    assert "0 to 3" in cure


def pictures(folder: Path, missing: str = "") -> None:
    """Real digits as PNG files, 12 a class in train and 4 in val; `missing` is left out."""
    digits = load_digits()
    for digit in range(3):
        images = digits.images[digits.target == digit]
        for split, part in (("train", images[:12]), ("val", images[12:16])):
            place = folder / split / str(digit)
            if f"{split}/{digit}" != missing:
                place.mkdir(parents=True)
                for index, image in enumerate(part):
                    Image.fromarray((image * 15.9).astype(np.uint8)).save(place / f"{index}.png")


def test_a_class_without_pictures(refused, tmp_path):
    pictures(tmp_path / "pictures", missing="val/2")
    message, cure = refused(2, "--model", "builtin:resnet8", "--data", "folder:pictures", *HALF)
    assert "'2'" in message
    assert "every class of train/" in cure


def test_a_picture_that_is_none(refused, tmp_path):
    pictures(tmp_path / "pictures")
    (tmp_path / "pictures" / "train" / "1" / "3.png").write_text("not a picture")
    message, _ = refused(2, "--model", "builtin:resnet8", "--data", "folder:pictures", "--image-size", "8", *HALF)
    assert "3.png" in message


@pytest.mark.parametrize("output", ["/proc/run", "file/run", "file"])
def test_a_place_that_cannot_be_written(refused, tmp_path, output, given):
    (tmp_path / "file").write_text("dear diary")
    words = (*given, "--macs", "60%")
    message, cure = refused(2 if output == "file" else 3, *words, output=output)
    assert output in message
    assert "-o" in cure
    assert (tmp_path / "file").read_text() == "dear diary"


def test_ios_latency_names_macs(refused):
    _, cure = refused(3, *BUILTIN, "--target", "ios", "--latency", "5ms", formats="coreml")
    assert "--macs" in cure


def test_android_without_a_phone(refused, tmp_path, monkeypatch):
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    message, cure = refused(5, *BUILTIN, "--target", "android", "--latency", "20ms")
    assert "adb was not found" in message
    assert "platform-tools" in cure


def test_macs_below_the_floor_name_it(cli, given):
    done = cli("optimize", *given, "--macs", "1%", "-o", "run", "--formats", "litert", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["exit_code"]) == (4, 4)
    assert "floor" in error["message"]
    assert "--plan" in error["cure"]


@pytest.mark.parametrize("words", [["optimize", "--latncy", "50%"], ["optimise"], ["prune"], ["init", "a", "b"]])
def test_json_holds_for_options_that_do_not_exist(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgeprune", *words, "--json"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["exit_code"] == 2
    assert error["message"]
    assert error["message"].split()[0] in done.stderr
