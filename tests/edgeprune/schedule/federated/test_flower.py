"""Flower's simulation engine in its own environment (`make federated`): the same federation, message for message."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from safetensors import safe_open

from edgeprune.errors import EnvironmentProblem
from edgeprune.recover.work import Length
from edgeprune.schedule.federated import flower
from edgeprune.schedule.fedtiny import FedTiny

ROOT = Path(__file__).parents[4]
PROGRAM = ROOT / ".venv-federated" / "bin" / "python"

NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), Own(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )


class Own(nn.BatchNorm2d):
    pass
"""

RECIPE = """
title: "FedTiny"
source: "test"
when: during
score: l1
allocate: uniform
schedule: one_shot
recover: {epochs: 2, reestimate: false, lr: 0.1}
masked: {name: fedtiny, settings: {density: 0.3, clients: 4, per_round: 2, candidates: 2, every: 1, carrier: CARRIER}}
"""

FAILING = """
from dataclasses import dataclass

import torch
from torch import nn

from edgeprune.schedule.federated.client import Client
from edgeprune.schedule.federated.flower import flower_clients
from edgeprune.schedule.federated.masking import Masking
from edgeprune.schedule.federated.server import Server
from edgeprune.schedule.federated.settings import Federation
from edgeprune.sources.data import load_data
from edgeprune.task import Classification


@dataclass(frozen=True)
class Fragile(Client):
    def answer(self, message):
        if message.kind == "train" and self.number == 1:
            raise RuntimeError("its battery is empty")
        return super().answer(message)


network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
masking, images = Masking(), load_data("builtin:digits").train
sites = [Fragile(k, network, masking, images, torch.arange(k, 300, 3), Classification(10), 32, 0) for k in range(3)]
notes = []
with flower_clients(sites, notes.append) as carrier:
    server = Server(network, masking, carrier, Federation(clients=3, per_round=3, every=1, until=1.0), 0.05, 0)
    server.set_masks({n: torch.rand(m.shape) < 0.5 for n, m in masking.masks(network).alive.items()})
    before = sum(int(mask.sum()) for mask in server.alive.values())
    server.train(3)
assert server.ledger.lost == 3, server.ledger
assert any("its battery is empty" in note or "failed" in note for note in notes), notes
assert sum(int(mask.sum()) for mask in server.alive.values()) == before
print("survived")
"""


def run(program: Path | str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(program), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=1500, check=False
    )


needs_flower = pytest.mark.skipif(not PROGRAM.exists(), reason="no .venv-federated: run `make federated`")


@pytest.mark.slow
@needs_flower
def test_flower_carries_the_same_messages_to_the_same_network(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    done = {}
    for carrier in ("in-turn", "flower"):
        (tmp_path / f"{carrier}.yaml").write_text(RECIPE.replace("CARRIER", carrier))
        told = run(PROGRAM, tmp_path, "-m", "edgeprune", "optimize", "--model", "net.py:make", "--data",
                   "builtin:digits", "--recipe", f"{carrier}.yaml", "--masked", "-o", carrier, "--json")  # fmt: skip
        assert told.returncode == 0, told.stderr
        done[carrier] = json.loads(told.stdout)
    facts = {carrier: result["facts"] for carrier, result in done.items()}
    assert facts["flower"].pop("carrier") == "Flower's simulation engine"
    assert facts["in-turn"].pop("carrier") == "in turn, in one process"
    assert facts["flower"] == facts["in-turn"], "votes, bytes and adjustments"
    assert facts["flower"]["adjustments"] >= 1
    with (
        safe_open(tmp_path / "flower" / "model.safetensors", "np") as one,
        safe_open(tmp_path / "in-turn" / "model.safetensors", "np") as other,
    ):
        assert all((one.get_tensor(name) == other.get_tensor(name)).all() for name in one.keys())  # noqa: SIM118


@pytest.mark.slow
@needs_flower
def test_a_node_that_fails_is_survived(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    told = run(PROGRAM, tmp_path, "failing.py")
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip().endswith("survived")


def test_without_flower_the_cure_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "find_spec", lambda name: None if name == "flwr" else object())
    with pytest.raises(EnvironmentProblem) as caught:
        FedTiny(carrier="flower").check(Length(10, 10))
    assert "make federated" in caught.value.cure
    FedTiny(carrier="auto").check(Length(10, 10))
