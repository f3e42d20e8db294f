"""`edgeprune convert` and `edgeprune inspect` as a user calls them: on trained weights and real digits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import converters
from converters.artifact import sha256
from edgeprune.sources.cifar_resnet import CifarResNet

FILES = {"litert": "resnet8.tflite", "onnx": "resnet8.onnx"}


@pytest.fixture
def convert(cli, trained):
    """convert(code, ...) runs `edgeprune convert` on the digits' ResNet-8 and gives what it prints as JSON."""

    def call(code, *words, model="builtin:resnet8", data=("--data", "builtin:digits")):
        done = cli("convert", model, "--weights", trained, *data, "--jobs", 1, "--json", *words)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    return call


def test_files_are_proved_and_a_second_call_takes_them_from_the_cache(convert, tmp_path, trained):
    first = convert(0, "--to", "litert,onnx")["formats"]
    for fmt, name in FILES.items():
        outcome = first[fmt]
        assert not outcome["cached"]
        assert sha256(tmp_path / "converted" / name) == outcome["artifact"]["sha256"]
        assert outcome["parity"]["compared"] == "outputs"
        assert outcome["parity"]["max_rel_error"] < 1e-4
        assert outcome["data"]["labels"] == [str(i) for i in range(10)]
        about = json.loads((tmp_path / "converted" / f"{name}.json").read_text())
        assert about["inputs"][0]["layout"] == "NCHW"
        assert (about["mean"], about["std"]) == ([0.305], [0.376])
    shutil.rmtree(tmp_path / "converted")
    second = convert(0, "--to", "onnx,litert")["formats"]
    assert [outcome["cached"] for outcome in second.values()] == [True, True]
    for fmt, name in FILES.items():
        assert sha256(tmp_path / "converted" / name) == first[fmt]["artifact"]["sha256"]
    script = _CALL.format(trained)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("torch not imported"), done.stdout + done.stderr


_CALL = """
import sys
from edgeprune.cli import app
try:
    app(["convert", "builtin:resnet8", "--weights", "{}", "--data", "builtin:digits", "--to", "onnx", "--jobs", "1"])
except SystemExit as end:
    assert end.code == 0
print("torch imported" if "torch" in sys.modules else "torch not imported")
"""


def test_changed_code_or_options_convert_again(cli, tmp_path):
    (tmp_path / "net.py").write_text(_NET)
    (tmp_path / "sizes.py").write_text("WIDTH = 8\n")

    def params(*words):
        done = cli("convert", "net.py:make", "--data", "builtin:digits", "--to", "onnx", "--jobs", 1, "--json", *words)
        assert done.exit_code == 0, done.output
        outcome = json.loads(done.stdout)["formats"]["onnx"]
        return outcome["inspection"]["params"], outcome["cached"]

    eight, sixteen = 8 * 9 + 8 + 10 * 8 * 36 + 10, 16 * 9 + 16 + 10 * 16 * 36 + 10
    assert params() == (eight, False)
    assert params() == (eight, True)
    assert params("--quantize", "fp16") == (eight, False)
    (tmp_path / "sizes.py").write_text("WIDTH = 16\n")  # a module that net.py imports
    assert params() == (sixteen, False)
    (tmp_path / "net.py").touch()  # the same bytes at another time
    assert params() == (sixteen, True)
    assert params("--fresh") == (sixteen, False)


_NET = """
from torch import nn
from sizes import WIDTH


def make():
    return nn.Sequential(nn.Conv2d(1, WIDTH, 3), nn.Flatten(), nn.Linear(WIDTH * 36, 10))
"""


def test_an_untrained_network_proves_nothing(cli, tmp_path):
    done = cli(
        "convert", "torchvision:mobilenet_v2", "--input-shape", "1,3,64,64", "--to", "onnx", "--jobs", 1, "--json"
    )  # fmt: skip
    assert done.exit_code == 6
    assert "near zero" in done.stderr
    assert "--weights" in done.stderr
    assert not (tmp_path / "converted" / "mobilenet_v2.onnx").exists()


@pytest.mark.parametrize(
    ("words", "found", "cure"),
    [
        (("--to", "tflite"), "unknown format 'tflite'", "litert"),
        (("--to", ","), "names no format", "litert"),
        (("--to", "onnx", "--quantize", "int4"), "int4", "int8"),
        (("--to", "onnx", "--quantize", "palettize"), "onnx offers no palettize", "fp16"),
        (("--to", "executorch", "--quantize", "int8-weights"), "executorch offers no int8-weights", "use int8"),
        (("--to", "onnx", "--nhwc"), "(N, C, H, W)", "litert"),
        (("--to", "onnx", "--backend", "vulkan"), "onnx has no vulkan", "--backend"),
        (("--to", "onnx", "--input-shape", "1,x"), "--input-shape", "1,3,224,224"),
        (("--to", "onnx", "--weights", "gone.safetensors"), "gone.safetensors", "--weights"),
        (("--to", "onnx", "--check", "1"), "--check 1", "hundred"),
    ],
)
def test_bad_requests_are_refused_before_any_work(convert, tmp_path, words, found, cure):
    error = convert(2, *words)["error"]
    assert found in error["message"]
    assert cure in error["cure"]
    assert not (tmp_path / "converted").exists()


def test_no_inputs_no_run_no_room(cli, tmp_path):
    done = cli("convert", "builtin:resnet8", "--to", "onnx")
    assert (done.exit_code, "--input-shape" in done.stderr) == (2, True)
    (tmp_path / "empty").mkdir()
    done = cli("convert", "empty", "--to", "onnx")
    assert (done.exit_code, "not a finished run" in done.stderr) == (2, True)
    (tmp_path / "blocked").write_text("a file where the folder should be")
    done = cli("convert", "builtin:resnet8", "--input-shape", "1,1,8,8", "--to", "onnx", "-o", "blocked")
    assert done.exit_code == 3
    assert (tmp_path / "blocked").read_text() == "a file where the folder should be"


def test_a_process_that_dies_costs_its_format_and_no_more(cli, tmp_path):
    (tmp_path / "net.py").write_text("import os\n\ndef make():\n    os._exit(9)\n")
    done = cli("convert", "net.py:make", "--input-shape", "1,3,8,8", "--to", "onnx", "--jobs", 1, "--json")
    assert done.exit_code == 3
    assert "ended with code 9" in done.stderr
    assert "convert.log" in done.stderr
    assert [p.name for p in (tmp_path / "converted").iterdir()] == ["convert.log"]


def test_the_users_folder_holds_packages_and_one_is_called_as_ours(cli, tmp_path):
    for package, text in (("edgeprune", "raise SystemExit(7)"), ("nets", "")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(text)
    (tmp_path / "nets" / "small.py").write_text("import os\n\ndef make():\n    os._exit(9)\n")
    done = cli("convert", "nets.small:make", "--input-shape", "1,3,8,8", "--to", "onnx", "--jobs", 1)
    assert "ended with code 9" in done.stderr


def test_one_format_fails_and_the_other_is_kept(cli, tmp_path):
    (tmp_path / "net.py").write_text(_ATAN)
    words = ("net.py:Net", "--data", "builtin:digits", "--to", "onnx,executorch", "--jobs", 1, "--json")
    done = cli("convert", *words)
    assert done.exit_code == 2
    assert "executorch: xnnpack does not take aten::atan (module wave)" in " ".join(done.stderr.split())
    told = json.loads(done.stdout)
    assert told["error"]["exit_code"] == 2
    assert told["formats"]["onnx"]["parity"]["passed"]
    assert "aten::atan" in told["formats"]["executorch"]["error"]["message"]
    assert [p.name for p in sorted((tmp_path / "converted").glob("Net*"))] == ["Net.onnx", "Net.onnx.json"]
    assert cli("convert", *words, "--allow-portable").exit_code == 0


_ATAN = """
import torch
from torch import nn


class Wave(nn.Module):
    def forward(self, x):
        return torch.atan(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.wave, self.fc = nn.Conv2d(1, 8, 3), Wave(), nn.Linear(8 * 36, 10)

    def forward(self, x):
        return self.fc(self.wave(self.conv(x)).flatten(1))
"""


def test_the_network_of_a_run(cli, fast_run, tmp_path):
    done = cli("convert", fast_run, "--to", "litert", "--jobs", 1, "--json")
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.stdout)["formats"]["litert"]
    pruned = json.loads((fast_run / "result.json").read_text())["pruned"]
    assert outcome["data"]["name"] == "digits"
    dense, slim = fast_run / "artifacts" / "dense.tflite", tmp_path / "converted" / "run.tflite"
    assert outcome["inspection"]["size_bytes"] == slim.stat().st_size < dense.stat().st_size
    assert pruned["size_bytes"] == slim.stat().st_size
    better = cli("inspect", slim, "--against", dense, "--json")
    assert better.exit_code == 0
    facts = json.loads(better.stdout)
    assert facts["not_smaller"] == []
    assert facts["inputs"][0]["shape"] == [1, 1, 8, 8]
    assert sum(map(sum, (ops.values() for ops in facts["ops_by_backend"].values()))) == sum(facts["ops"].values())
    same = cli("inspect", dense, "--against", dense)
    assert same.exit_code == 6
    assert "gained nothing" in same.stderr
    told = json.loads(cli("inspect", dense, "--against", dense, "--json").stdout)
    assert told["error"]["exit_code"] == 6
    assert len(told["not_smaller"]) == 3
    assert told["size_bytes"] == dense.stat().st_size


def test_the_same_layers_in_fewer_bits_are_smaller(cli, tmp_path):
    model, example = CifarResNet(8, 10, 1), torch.zeros(1, 1, 8, 8)
    for quantize in ("none", "fp16"):
        converters.convert(model, example, "onnx", tmp_path / f"{quantize}.onnx", converters.Options(quantize=quantize))
    done = cli("inspect", "fp16.onnx", "--against", "none.onnx")
    assert done.exit_code == 0, done.output
    assert "the same layers as none.onnx, in 5" in done.stdout
    assert cli("inspect", "none.onnx", "--against", "fp16.onnx").exit_code == 6


def test_inspect_shows_a_file_and_refuses_what_it_cannot_read(cli, fast_run, tmp_path):
    shown = cli("inspect", fast_run / "artifacts" / "pruned.tflite")
    assert shown.exit_code == 0
    for word in ("CONV_2D", "1 x 1 x 8 x 8 float32", "parameters", "widths"):
        assert word in shown.stdout
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.tflite").write_bytes((fast_run / "artifacts" / "pruned.tflite").read_bytes()[:3000])
    for name, reason in {"notes.txt": ".tflite", "gone.tflite": "no file", "cut.tflite": "damaged"}.items():
        done = cli("inspect", name)
        assert done.exit_code == 2
        assert reason in " ".join(done.stderr.split())
    assert cli("inspect", fast_run / "artifacts" / "dense.tflite", "--against", Path("cut.tflite")).exit_code == 2


def test_a_wrong_file_is_removed_and_its_first_wrong_layer_named(tmp_path, trained, monkeypatch):
    from converters import onnx
    from edgeprune.conversion.convert_one import convert_one
    from edgeprune.conversion.request import Request
    from edgeprune.errors import ParityError

    write, layer = onnx.write, "stages.layer2.0.conv2"

    def faulty(graph_module, *others):
        weights = dict(graph_module.named_parameters())
        if f"{layer}.weight" in weights:
            weights[f"{layer}.weight"].data *= 1.05
        write(graph_module, *others)

    monkeypatch.setattr(onnx, "write", faulty)
    output = tmp_path / "net.onnx"
    with pytest.raises(ParityError, match=f"module {layer} ") as caught:
        convert_one(Request("builtin:resnet8", "onnx", str(output), weights=str(trained), data="builtin:digits"))
    assert caught.value.exit_code == 6
    assert not output.exists()
