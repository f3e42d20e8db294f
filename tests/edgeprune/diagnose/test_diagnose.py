"""Connectivity, similarity, regimes and SAM: by hand, on identical networks, and on a finished run."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import Result

from edgeprune.diagnose.connectivity import POINTS, cka, connectivity, lmc
from edgeprune.diagnose.regime import regime
from edgeprune.diagnose.sam import sharpness_aware_step
from edgeprune.errors import UsageError
from edgeprune.recover.finetune import finetune
from edgeprune.sources.batches import loaders
from edgeprune.sources.data import load_data
from edgeprune.task import Classification


def scalar(value: float) -> nn.Module:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(value)
    return layer


def double_well(network: nn.Module) -> float:
    """(w^2 - 1)^2: no error at -1 and 1, error 1 at 0 between them."""
    return float((network.weight.detach().square() - 1).square())  # type: ignore[operator,union-attr]


def test_a_barrier_by_hand() -> None:
    found = connectivity(scalar(-1), scalar(1), double_well)
    assert found.lmc == pytest.approx(-1.0)
    assert len(found.errors) == POINTS
    assert found.errors[5] == pytest.approx(1.0)


def test_the_ends_are_the_two_networks() -> None:
    one, other = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))

    def error(network: nn.Module) -> float:
        with torch.no_grad():
            return float(network.eval()(x).square().mean())

    adapted: list[nn.Module] = []
    found = connectivity(one, other, error, adapted.append)
    assert (found.errors[0], found.errors[-1]) == (error(one), error(other))
    assert len(adapted) == POINTS - 2, "the ends have their own statistics"


def test_identical_networks_are_connected() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 10)).eval()
    x = torch.rand(5, 1, 8, 8)
    found = connectivity(network, network, lambda n: n(x).square().mean().item())
    assert found.lmc == 0.0
    assert len(set(found.errors)) == 1
    with pytest.raises(UsageError, match="different widths"):
        connectivity(network, scalar(1), double_well)


def test_lmc_takes_the_place_farthest_from_the_mean() -> None:
    assert lmc([0.2, 0.9, 0.4]) == pytest.approx(0.3 - 0.9)
    assert lmc([0.2, 0.1, 0.25, 0.4]) == pytest.approx(0.3 - 0.1), "a valley counts too"


def test_cka() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 6, generator=generator), torch.randn(200, 6, generator=generator)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    assert cka(x, x) == pytest.approx(1.0)
    assert cka(x, 7 * x @ rotation + 3) == pytest.approx(1.0, abs=1e-6)
    assert cka(x, y) < 0.1
    assert cka(x, y) == pytest.approx(cka(y, x))
    one, other = (
        torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]),
        torch.tensor([[1.0, 1.0], [0.0, -2.0], [-1.0, 1.0]]),
    )
    # one has variance along its first axis alone, (2, 0), other (2, 6) uncorrelated: 2^2 / (2 * sqrt(4 + 36))
    assert cka(one, other) == pytest.approx(4 / (2 * math.sqrt(40)))


@pytest.mark.parametrize(
    ("barrier", "alike", "name", "word"),
    [(-0.2, 0.99, "I", "shorter"), (-0.001, 0.5, "II-A", "longer"), (0.0, 0.99, "II-B", "nothing")],
)
def test_the_rule(barrier: float, alike: float, name: str, word: str) -> None:
    found = regime(barrier, alike)
    assert found.name == name
    assert word in found.advice


def fitted(start: nn.Module, seed: int, epochs: int, lr: float) -> nn.Module:
    """Trained on the digits in the order of this seed; its last weights."""
    network = copy.deepcopy(start)
    digits = load_data("builtin:digits")
    train, val, _ = loaders(digits, 64, seed, augment=False)
    finetune(network, train, val, Classification(10), epochs=epochs, lr=lr, seed=seed, since=epochs)
    return network


def perceptron(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 10))


def test_two_seeds_of_known_regimes() -> None:
    """Two short trainings of one trained network stay in one basin and answer alike (II-B); two networks from starts of
    their own have a barrier between them (I).
    """
    images, labels = load_data("builtin:digits").val.tensors  # type: ignore[union-attr]

    def error(network: nn.Module) -> float:
        with torch.no_grad():
            return float((network(images).argmax(1) != labels).double().mean())

    def seen(one: nn.Module, other: nn.Module) -> str:
        with torch.no_grad():
            return regime(connectivity(one, other, error).lmc, cka(one(images), other(images))).name

    start = fitted(perceptron(0), 0, 12, 0.1)
    assert error(start) < 0.1
    assert seen(fitted(start, 1, 1, 0.02), fitted(start, 2, 1, 0.02)) == "II-B"
    assert seen(start, fitted(perceptron(1), 1, 12, 0.1)) == "I"


def test_sam_by_hand() -> None:
    """Loss w^2 at 1, rho 0.5: the gradient is that of 1.5, so a step of 0.1 goes to 1 - 0.3; rho 0 goes to 0.8."""
    for rho, expected in ((0.5, 0.7), (0.0, 0.8)):
        weight = nn.Parameter(torch.tensor([1.0]))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        assert sharpness_aware_step([weight], optimizer, lambda w=weight: w.square().sum(), rho) == 1.0  # type: ignore[misc]
        assert weight.item() == pytest.approx(expected)


@pytest.mark.slow
def test_a_run_and_its_checkpoints(cli: Callable[..., Result], fast_run: Path, trained: Path, tmp_path: Path) -> None:
    done = cli("diagnose", fast_run, "--epochs", 1, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    (case,) = found["cases"]
    assert found["best"] == case["name"]
    assert 0.2 < found["load"]["parameters"] < 0.9
    assert len(case["errors"]) == POINTS
    assert case["errors"][0] == pytest.approx(1 - case["metrics"][0])
    assert case["errors"][-1] == pytest.approx(1 - case["metrics"][1])
    assert case["cka"] > 0.8, "two recoveries of one trained network are alike"
    from safetensors.torch import load_file, save_file

    noise = {n: torch.randn_like(t) if t.ndim > 1 else t for n, t in load_file(trained).items()}
    save_file(noise, tmp_path / "noise.safetensors")
    words = ("--checkpoint", tmp_path / "noise.safetensors", "--checkpoint", trained)
    picked = json.loads(cli("diagnose", fast_run, "--epochs", 1, *words, "--json").stdout)
    assert picked["best"] == str(trained)
    radii = json.loads(cli("diagnose", fast_run, "--epochs", 1, "--rho", 0, "--rho", 0.1, "--json").stdout)
    assert [c["name"].rpartition(", ")[2] for c in radii["cases"]] == ["rho 0", "rho 0.1"]
    assert radii["cases"][0]["errors"] == case["errors"]
    assert radii["cases"][1]["errors"] != case["errors"]


def test_what_cannot_be_diagnosed_is_told(cli: Callable[..., Result], tmp_path: Path) -> None:
    done = cli("diagnose", tmp_path)
    assert done.exit_code == 2
    assert "is not a finished run" in " ".join(done.stderr.split())
