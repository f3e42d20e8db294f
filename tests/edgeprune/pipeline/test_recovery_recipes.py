"""Recipes that train little or nothing, from the command line to the files, on digits: each with its own invariant."""

import json

import pytest
import torch
from safetensors.torch import load_file

from edgeprune.graph import Widths, find_groups, kept_units, trace
from edgeprune.recipe import load_recipe
from edgeprune.result import Result
from edgeprune.score import score
from edgeprune.sources.batches import calibration_batches
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model

pytestmark = pytest.mark.slow


@pytest.fixture
def optimized(cli):
    """optimized(...) runs `optimize` into run/ and gives the result."""

    def call(*words, macs="60%"):
        done = cli("optimize", *words, "--macs", macs, "--formats", "litert", "-o", "run", "--json")
        assert done.exit_code == 0, done.stderr
        return Result.model_validate_json(done.stdout)

    return call


def inherited(model, path):
    """The slices of the dense weights that a run kept, and the weights it ended with."""
    widths = Widths.from_json((path / "widths.json").read_text())
    return widths.apply(model).state_dict(), load_file(path / "model.safetensors")


def test_flap_moves_means_and_trains_nothing(optimized, given, trained, tmp_path):
    result = optimized(*given, "--recipe", "flap")
    assert (result.search.score, result.search.allocate) == ("flap", "adaptive")
    assert result.recovery.epochs == []
    dense = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1)
    before, after = inherited(dense, tmp_path / "run")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved, "removed channels had a mean"
    coupling = find_groups(trace(dense.eval(), (torch.zeros(1, 1, 8, 8),)))
    scores = score("flap", dense, coupling, calibration_batches(load_data("builtin:digits"), 256))
    kept = kept_units(coupling, Widths.from_json((tmp_path / "run" / "widths.json").read_text()))
    assert kept
    for group, units in kept.items():  # not so with --score random
        gone = torch.ones(len(scores[group]), dtype=torch.bool)
        gone[units] = False
        assert scores[group][units].mean() > scores[group][gone].mean() + 0.5
    assert {name.rpartition(".")[2] for name in moved} <= {"bias", "running_mean"}
    assert result.recovery.after_bn["accuracy"] >= result.recovery.before["accuracy"]


@pytest.mark.parametrize("rung", ["norms", "lora"])
def test_perp_trains_its_rung(optimized, given, trained, tmp_path, rung):
    recipe = tmp_path / "mine.yaml"
    own = load_recipe("perp").model_dump(exclude={"name"}, mode="json")
    own["recover"]["settings"] = {"rung": rung, "rank": 4}
    recipe.write_text(json.dumps(own))
    result = optimized(*given, "--recipe", recipe, "--epochs", "2", macs="30%")
    facts = result.recovery.facts
    assert facts["rung"] == rung
    assert 0 < facts["trained_share"] < (0.05 if rung == "norms" else 0.6)
    assert facts["trained_parameters"] == pytest.approx(facts["trained_share"] * result.pruned.params)
    dense = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1)
    before, after = inherited(dense, tmp_path / "run")
    assert before.keys() == after.keys(), "adapters are merged"
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    convolutions = {name for name in before if before[name].ndim == 4}
    assert bool(convolutions & moved) == (rung == "lora")
    assert result.recovery.after["accuracy"] > result.recovery.after_bn["accuracy"]
