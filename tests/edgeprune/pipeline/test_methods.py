"""Every recipe, rule, budget, runtime and source once, from the command line to the files."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

import edgeprune
from converters.artifact import sha256
from edgeprune.recover.finetune import finetune
from edgeprune.result import Result
from edgeprune.sources.batches import Loader
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.sources.user_code import load_object
from edgeprune.task import load_task

pytestmark = pytest.mark.slow


@pytest.fixture
def optimized(cli, tmp_path, run, monkeypatch):
    """optimized(...) runs `optimize` into run/, checks what holds for every run, and gives the result."""
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(run["path"].parent / "cache"))

    def call(*words, formats="litert", epochs=1, codes=(0, 4)):
        done = cli("optimize", *words, "--formats", formats, "--epochs", epochs, "-o", "run", "--json")
        assert done.exit_code in codes, done.stderr
        assert "error" not in json.loads(done.stdout), done.stdout
        result, path = Result.model_validate_json(done.stdout), tmp_path / "run"
        assert result.met == all(requirement.met for requirement in result.budget.requirements)
        assert done.exit_code == (0 if result.met else 4)
        assert result.pruned.macs < result.dense.macs
        assert result.pruned.size_bytes < result.dense.size_bytes
        assert result.proof["max_rel_error"] < 1e-9
        assert result.proof["miswired_rel_change"] > 1e-3
        for artifact in result.artifacts:
            assert sha256(path / artifact.path) == artifact.sha256
            assert artifact.parity.max_rel_error <= 1e-4
        weights = load_file(path / "model.safetensors")
        assert sum(
            w.numel() for n, w in weights.items() if not n.endswith(("running_mean", "running_var", "tracked"))
        ) == (result.pruned.params)
        assert "<svg" in (path / "report.html").read_text() or "plotly" in (path / "report.html").read_text().lower()
        return result

    return call


def accuracy(network, spec="builtin:digits", **settings):
    images, labels = load_data(spec, **settings).test.tensors
    with torch.inference_mode():
        return (network(images).argmax(1) == labels).double().mean().item()


def shares(result):
    return {group: width["kept"] / width["dense"] for group, width in result.widths.items()}


@pytest.mark.parametrize("recipe", ["l1", "l2", "bn-scale", "taylor", "random", "beta-rank-paper", "beta-rank-cb"])
def test_recipes_that_search(optimized, given, tmp_path, recipe):
    result = optimized(*given, "--macs", "60%", "--recipe", recipe, codes=(0,))
    score = "beta-rank" if recipe.startswith("beta-rank") else recipe
    assert (result.recipe, result.search.score, result.search.allocate) == (recipe, score, "latency")
    assert 0.5 < result.pruned.macs / result.dense.macs <= 0.6
    assert accuracy(edgeprune.load(tmp_path / "run")) == pytest.approx(result.pruned.accuracy)


@pytest.mark.parametrize("rule", ["latency", "uniform", "global", "precropping"])
def test_rules_in_the_closed_loop(optimized, given, rule):
    result = optimized(*given, "--latency", "70%", "--allocate", rule)
    assert result.search.allocate == rule
    assert 1 <= result.search.candidates_measured <= 12
    assert result.search.candidates_measured == len(result.search.rounds)
    assert all(r.measured_ms > 0 for r in result.search.rounds)
    assert result.search.rounds[-1].widths
    if rule == "uniform":
        kept = shares(result)
        steps = {group: 8 / width["dense"] for group, width in result.widths.items()}
        assert max(kept[g] - steps[g] for g in kept) <= min(kept[g] + steps[g] for g in kept)


def test_precropping_trains_from_scratch(optimized, given, tmp_path):
    result = optimized(*given, "--latency", "70%", "--recipe", "precropping", epochs=12)
    assert (result.recovery.schedule, result.search.allocate) == ("at_init", "precropping")
    assert len(result.recovery.epochs) == 12
    assert result.recovery.after_bn["accuracy"] < 0.4, "fresh weights know nothing"
    assert result.pruned.accuracy > 0.8
    assert accuracy(edgeprune.load(tmp_path / "run")) == pytest.approx(result.pruned.accuracy)


def test_latency_of_executorch(optimized, given):
    result = optimized(*given, "--latency", "80%", "--runtime", "executorch", formats="executorch")
    assert (result.runtime, result.device["runtime"]) == ("executorch", "executorch")
    assert {artifact.format for artifact in result.artifacts} == {"executorch"}
    (latency,) = result.budget.requirements
    assert latency.source == "measured"


def test_memory(optimized, given):
    result = optimized(*given, "--memory", "97%")
    (memory,) = result.budget.requirements
    assert (memory.kind, memory.source) == ("memory", "measured")
    assert memory.achieved == pytest.approx(result.pruned.peak_memory_mib * 2**20)


def test_file_size(optimized, given):
    result = optimized(*given, "--file-size", "50%", codes=(0,))
    assert result.pruned.size_bytes <= 0.5 * result.dense.size_bytes
    assert result.pruned.size_bytes == next(a.size_bytes for a in result.artifacts if a.network == "pruned")


def test_several_limits_at_once(optimized, given):
    result = optimized(*given, "--latency", "90%", "--macs", "55%", "--file-size", "60%")
    met = {requirement.kind: requirement.met for requirement in result.budget.requirements}
    assert set(met) == {"latency", "macs", "file_size"}
    assert met["macs"]
    assert met["file_size"]


def test_pt2_is_pruned_and_trained_like_the_network_itself(optimized, given, trained, tmp_path):
    model = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1).eval()
    program = torch.export.export(model, (torch.zeros(1, 1, 8, 8),))
    torch.export.save(program, tmp_path / "net.pt2")
    result = optimized("--model", "net.pt2", "--data", "builtin:digits", "--macs", "60%", epochs=2, codes=(0,))
    assert result.dense.accuracy == pytest.approx(accuracy(model))
    assert result.pruned.macs <= 0.6 * result.dense.macs
    assert accuracy(edgeprune.load(tmp_path / "run")) == pytest.approx(result.pruned.accuracy)
    shutil.rmtree(tmp_path / "run")
    native = optimized(*given, "--macs", "60%", epochs=2, codes=(0,))
    assert shares(result) == shares(native)
    assert result.pruned.accuracy == pytest.approx(native.pruned.accuracy, abs=0.01)


TASK = """
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from edgeprune.sources.data import load_data


def data():
    digits = load_data("builtin:digits")

    def ink(split):
        images, _ = split.tensors
        return TensorDataset(images, (images > 0).float())

    return {"train": ink(digits.train), "val": ink(digits.val), "test": ink(digits.test)}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(1, 24, 3, padding=1), torch.nn.BatchNorm2d(24)
        self.conv2, self.bn2 = torch.nn.Conv2d(24, 24, 3, padding=1), torch.nn.BatchNorm2d(24)
        self.head = torch.nn.Conv2d(24, 1, 1)

    def forward(self, x):
        return self.head(F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))))


def make():
    torch.manual_seed(0)
    return Net()


class Task:
    primary = "iou"

    def loss(self, outputs, targets):
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def evaluate(self, model, loader):
        both = either = 0
        for images, targets in loader:
            found = model(images) > 0
            both += int((found & (targets > 0)).sum())
            either += int((found | (targets > 0)).sum())
        return {"pixels": float(either), "iou": both / either}
"""


def test_a_task_of_ones_own(optimized, tmp_path):
    (tmp_path / "ink.py").write_text(TASK)
    network, splits = (load_object(f"{tmp_path}/ink.py:{name}")() for name in ("make", "data"))
    batches = [Loader(splits[name], 64, shuffle=name == "train") for name in ("train", "val")]
    finetune(network, *batches, load_task(f"{tmp_path}/ink.py:Task"), epochs=3, lr=0.05)
    save_file(network.state_dict(), tmp_path / "ink.safetensors")
    result = optimized("--model", "ink.py:make", "--data", "ink.py:data", "--task", "ink.py:Task", "--macs", "60%",
                       "--weights", "ink.safetensors", codes=(0,))  # fmt: skip
    assert result.primary_metric == "iou"
    assert result.pruned.metrics["iou"] > 0.9
    assert result.pruned.accuracy is None
    assert "iou" in (tmp_path / "run" / "report.html").read_text().lower()


def test_pictures_in_folders(optimized, trained, tmp_path):
    """The digits as PNG files: three equal channels, and a stem that adds them up, are the same network."""
    digits = load_digits()
    for digit in range(10):
        images = digits.images[digits.target == digit]
        for split, part in (("train", images[:140]), ("test", images[140:])):
            place = tmp_path / "pictures" / split / str(digit)
            place.mkdir(parents=True)
            for index, image in enumerate(part):
                Image.fromarray(np.round(image / 16 * 255).astype(np.uint8)).save(place / f"{index:03}.png")
    weights = load_file(trained)
    weights["conv1.weight"] = weights["conv1.weight"].repeat(1, 3, 1, 1) / 3
    save_file(weights, tmp_path / "rgb.safetensors")
    result = optimized(
        "--model", "builtin:resnet8", "--weights", "rgb.safetensors", "--data", "folder:pictures", "--image-size", "8",
        "--mean", "0.305", "--std", "0.376", "--macs", "60%", codes=(0,),
    )  # fmt: skip
    assert result.dense.accuracy > 0.95
    assert (result.data.name, result.data.input_shape, result.data.mean) == ("pictures", [3, 8, 8], [0.305] * 3)
    assert result.data.sizes == {"train": 1260, "val": 140, "test": len(digits.images) - 1400}
    assert result.data.class_names == [str(digit) for digit in range(10)]


def test_a_long_tail(optimized, given):
    result = optimized(*given, "--macs", "60%", "--long-tail", "10", "--recipe", "beta-rank-cb", codes=(0,))
    assert result.data.long_tail == 10
    assert result.data.sizes["train"] < 700
    assert (result.data.sizes["val"], result.data.sizes["test"]) == (143, 359)
    assert len(result.pruned.per_class_recall) == 10
    assert result.pruned.balanced_accuracy == pytest.approx(np.mean(result.pruned.per_class_recall))
