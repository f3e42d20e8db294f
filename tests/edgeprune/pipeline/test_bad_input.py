"""Bad input through the program: exit code, message, cure, no traceback, no run directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[3]


@pytest.fixture
def program(tmp_path):
    def call(*words):
        environment = {**os.environ, "EDGEPRUNE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "edgeprune", "optimize", *words, "-o", str(tmp_path / "run"), "--formats", "litert"],
            capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "run").exists()
        done.stderr = " ".join(done.stderr.split())
        return done

    return call


def test_unknown_model_names_the_nearest(program):
    done = program("--model", "torchvision:mobilnet_v2", "--data", "builtin:digits", "--latency", "50%")
    assert done.returncode == 2
    assert "mobilenet_v2" in done.stderr


def test_model_that_cannot_be_exported_names_the_line(program, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = torch.nn.Linear(64, 10)\n\n    def forward(self, x):\n        y = self.fc(x.flatten(1))\n"
        "        return y if y.sum() > 0 else -y\n\n\ndef make():\n    return Net()\n"
    )
    done = program("--model", "net.py:make", "--data", "builtin:digits", "--latency", "50%")
    assert done.returncode == 2
    assert "net.py" in done.stderr


def test_nan_in_weights_names_the_tensor(program, trained, tmp_path):
    weights = load_file(trained)
    weights["fc.weight"][0, 0] = torch.nan
    save_file(weights, tmp_path / "nan.safetensors")
    done = program(
        "--model", "builtin:resnet8", "--weights", str(tmp_path / "nan.safetensors"), "--data", "builtin:digits",
        "--latency", "50%",
    )  # fmt: skip
    assert done.returncode == 2
    assert "fc.weight" in done.stderr


def test_labels_out_of_range(program, tmp_path):
    (tmp_path / "data.py").write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n\n\ndef make():\n"
        "    x, y = torch.rand(40, 1, 8, 8), torch.arange(40) % 4\n"
        "    return {'train': TensorDataset(x, y), 'val': TensorDataset(x, y + 7), 'class_names': list('abcd')}\n"
    )
    done = program("--model", "builtin:resnet8", "--data", "data.py:make", "--latency", "50%")
    assert done.returncode == 2
    assert "out of range" in done.stderr


def test_budget_that_cannot_be_read_and_json_error(program):
    done = program("--model", "builtin:resnet8", "--data", "builtin:digits", "--latency", "soon", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["exit_code"] == 2
    assert "soon" in error["message"]
    assert "20ms" in error["cure"]


def test_ios_latency_names_macs(program):
    done = program("--model", "builtin:resnet8", "--data", "builtin:digits", "--target", "ios", "--latency", "5ms")
    assert done.returncode == 3
    assert "--macs" in done.stderr
