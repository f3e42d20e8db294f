"""Recipes that act while the network trains, from the command line to the files: each has its invariant, and loses it
when its axis is exchanged.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeprune.graph import Coupling, Widths, find_groups, kept_units, trace
from edgeprune.result import Result
from edgeprune.score import score
from edgeprune.sources.models import load_model

pytestmark = pytest.mark.slow


class Run:
    """One finished run: its result, the dense network, its groups, what was kept and the weights it ended with."""

    def __init__(self, result: Result, path: Path, trained: Path) -> None:
        self.result = result
        self.dense = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1).eval()
        self.coupling: Coupling = find_groups(trace(self.dense, (torch.zeros(1, 1, 8, 8),)))
        self.widths = Widths.from_json((path / "widths.json").read_text())
        self.kept = kept_units(self.coupling, self.widths)
        self.weights = load_file(path / "model.safetensors")

    def choice(self, criterion: str) -> float:
        """How far apart kept and removed channels are by a criterion of the dense network, in standard deviations."""
        scores, gaps = score(criterion, self.dense, self.coupling, []), []
        for name, units in self.kept.items():
            stay = torch.zeros(len(scores[name]), dtype=torch.bool)
            stay[units] = True
            gaps.append(float((scores[name][stay].mean() - scores[name][~stay].mean()) / scores[name].std()))
        return sum(gaps) / len(gaps)


@pytest.fixture
def finished(cli, given, trained, tmp_path) -> Callable[..., Run]:
    """finished(...) runs `optimize` with these words."""

    def call(*words: object) -> Run:
        path = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        done = cli("optimize", *given, "--macs", "50%", "--formats", "litert", "-o", path, "--json", *words)
        assert done.exit_code == 0, done.stderr
        return Run(Result.model_validate_json(done.stdout), path, trained)

    return call


def ranks_by_norm(run: Run) -> None:
    assert run.choice("l1") > 0.6


def prunes_gradually(run: Run) -> None:
    updates = run.result.recovery.facts["updates"]
    units = [update["units"] for update in updates]
    assert units == sorted(units, reverse=True)
    groups = run.coupling.groups
    assert units[-1] == sum(len(kept) for kept in run.kept.values()), "the masks' last number is what was removed"
    removed = sum(groups[name].units - len(kept) for name, kept in run.kept.items())
    dense = units[-1] + removed
    assert units[0] == pytest.approx(dense - 0.271 * removed, abs=len(run.kept)), "the first of ten cubic steps"
    assert len(updates) == 10
    ranks_by_norm(run)


def prunes_in_rounds(run: Run) -> None:
    rounds = run.result.recovery.facts["rounds"]
    assert len(rounds) == 3
    assert all(0 < entry["pq_index"] < 0.5 for entry in rounds)
    assert rounds[-1]["units"] == sum(len(kept) for kept in run.kept.values())
    ranks_by_norm(run)


def parts_the_scales(run: Run) -> None:
    facts = run.result.recovery.facts
    assert facts["largest_pruned_scale"] < 0.05 < facts["smallest_kept_scale"]
    assert run.choice("bn-scale") > 0.6


def keeps_a_floor(run: Run) -> None:
    assert all(width["kept"] >= min(width["dense"], 8) for width in run.result.widths.values())
    ranks_by_norm(run)


def inherits_nothing(run: Run) -> None:
    own = run.widths.apply(run.dense).state_dict()
    both = [
        torch.stack([own[name].flatten(), tensor.flatten()]) for name, tensor in run.weights.items() if tensor.ndim == 4
    ]
    assert all(abs(float(torch.corrcoef(pair)[0, 1])) < 0.5 for pair in both)


CASES = {
    "gradual": (prunes_gradually, 4, ("--score", "random")),
    "granet": (ranks_by_norm, 4, ("--score", "random")),
    "sap": (prunes_in_rounds, 6, ("--score", "random")),
    "mask-sparsity": (parts_the_scales, 8, ("--score", "random")),
    "global-mp": (keeps_a_floor, 1, ("--score", "random")),
    "global-mp-gradual": (prunes_gradually, 4, ("--score", "random")),
    "scratch-e": (inherits_nothing, 4, ("--schedule", "one_shot", "--recover", "finetune")),
}


@pytest.mark.parametrize("name", CASES)
def test_the_invariant_holds_and_is_lost_with_its_axis(finished, name) -> None:
    invariant, epochs, exchange = CASES[name]
    run = finished("--recipe", name, "--epochs", epochs)
    assert run.result.met
    invariant(run)
    with pytest.raises(AssertionError):
        invariant(finished("--recipe", name, "--epochs", epochs, *exchange))


def test_scratch_b_and_the_controls_train_as_much_as_they_say(finished) -> None:
    run = finished("--recipe", "l1", "--epochs", 1, "--control", "scratch", "--dense-epochs", 2)
    controls = {control.name: control for control in run.result.controls}
    factor = run.result.dense.macs / run.result.pruned.macs
    assert (controls["scratch-e"].epochs, controls["scratch-b"].epochs) == (2, int(2 * factor))
    assert all(0 < control.metrics["accuracy"] <= 1 for control in controls.values())
    alone = finished("--recipe", "scratch-b", "--epochs", 2, "--allocate", "uniform", "--control", "scratch")
    assert len(alone.result.recovery.epochs) == alone.result.controls[1].epochs
