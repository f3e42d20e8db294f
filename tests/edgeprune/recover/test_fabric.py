"""Two gloo processes train like one: same steps, same order, same batch norms, same gradients."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from edgeprune.errors import EnvironmentProblem
from edgeprune.pipeline.launch import _command
from edgeprune.recover import hardware
from edgeprune.recover.engine import ALONE
from edgeprune.recover.fabric import fabric_engine
from edgeprune.recover.finetune import finetune
from edgeprune.sources.batches import loaders
from edgeprune.sources.data import load_data
from edgeprune.task import Classification, call
from tests.edgeprune.recover import shared_trainings

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("uneven shares", "distilled", "companion", "batches of one's own", "nothing trained")
FEWER_THAN_PROCESSES = "batches of one's own"


def under_torchrun(script: Path, *words: object, processes: int = 2) -> None:
    """Run a script as a group of processes, as launch.py does."""
    start = _command(processes, Path("unused"))
    command = [*start[: start.index("-m", 4)], str(script), *map(str, words)]
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes ended with."""
    folder = tmp_path_factory.mktemp("apart")
    under_torchrun(Path(shared_trainings.__file__), folder, "trainings")
    return folder


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[nn.Module, list[list[float]]]]:
    """What one process ends with."""
    return shared_trainings.trainings(ALONE)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_end_with_the_weights_of_one(name, apart, alone):
    net, history = alone[name]
    first, second = (load_file(apart / f"{name}-{rank}.safetensors") for rank in (0, 1))
    start = shared_trainings.make().state_dict()
    for key, own in net.state_dict().items():
        assert torch.equal(first[key], second[key]), key
        if name == FEWER_THAN_PROCESSES and key.endswith("running_var"):
            continue  # the last batch is one image, which both have: its unbiased variance is of twice as many values
        assert torch.allclose(first[key], own, rtol=0, atol=2e-6), key
        if name != "nothing trained" and "unused" not in key and key != "conv.bias":  # the batch norm takes that away
            assert not torch.equal(own, start[key]), f"{key} did not move: that proves nothing"
    theirs = json.loads((apart / f"{name}-0.json").read_text())
    assert [entry[1] for entry in theirs] == [entry[1] for entry in history]
    for (loss, _), (own_loss, _) in zip(theirs[1:], history[1:], strict=True):
        assert loss == pytest.approx(own_loss, rel=1e-5)


@pytest.mark.slow
def test_the_final_accuracy_is_that_of_one_process_within_the_noise_of_seeds(tmp_path):
    """Six seeds from random weights: the mean difference is within twice its standard error, as seeds give it."""
    torch.set_num_threads(1)
    one = torch.tensor(shared_trainings.accuracies(ALONE))
    under_torchrun(Path(shared_trainings.__file__), tmp_path, "accuracies")
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    two = torch.tensor(first)
    print(f"one process {one.tolist()}, two {first}")
    assert one.min() > 0.9, "a network that learned nothing proves nothing"
    noise = ((one.var() + two.var()) / len(one)).sqrt()
    assert (one.mean() - two.mean()).abs() <= 2 * noise


def small() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    return net, torch.rand(4, 1, 8, 8)


def test_bfloat16_computes_in_it_and_keeps_weights_in_float32():
    engine, (net, images) = fabric_engine("cpu", "bf16", 1, 1), small()
    seen: list[torch.dtype] = []
    net[0].register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    exact = call(net, images).detach()
    train, val, _ = loaders(load_data("builtin:digits"), 64)
    with engine.training(net, torch.optim.SGD(net.parameters(), lr=0.1)) as forward:
        rounded = forward(images)
    assert seen == [torch.float32, torch.bfloat16]
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.05 * exact.abs().max()
    result = finetune(net, train, val, Classification(10), epochs=2, lr=0.1, engine=engine)
    assert result.best > 0.85
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_a_precision_that_the_device_lacks_is_refused(monkeypatch):
    assert hardware.choose("auto", "cpu") == hardware.choose("32", "mps") == "32"
    with pytest.raises(EnvironmentProblem, match="16: torch reports no such arithmetic on this cpu") as caught:
        hardware.choose("16", "cpu")
    assert "It has 32" in caught.value.cure
    monkeypatch.setattr(hardware, "_cpu_has_bf16", lambda: False)
    with pytest.raises(EnvironmentProblem, match="bf16"):
        hardware.choose("bf16", "cpu")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert hardware.choose("auto", "cuda") == "16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert hardware.choose("auto", "cuda") == "bf16"


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert hardware.training_device("cuda", 2).type == "cuda"
    assert hardware.training_device("cpu", 8).type == "cpu"
    for accelerator in ("cuda", "auto"):
        with pytest.raises(EnvironmentProblem, match=r"--devices 3, but this machine has 2 cuda device") as caught:
            hardware.training_device(accelerator, 3)
        assert "--devices 2" in caught.value.cure


def test_one_process_does_not_import_lightning():
    code = (
        "import sys, torch\nfrom edgeprune.config import Config\nfrom edgeprune.recover.fabric import make_engine\n"
        "import edgeprune.pipeline.optimize, edgeprune.pipeline.led\n"
        "engine = make_engine(Config(devices=1, nodes=1), torch.device('cpu'))\n"
        "print(type(engine).__name__, any('lightning' in name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["Engine", "False"]
