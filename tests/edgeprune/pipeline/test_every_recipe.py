"""Every recipe, from the command line to the files: each has its invariant, and loses it when its axis is exchanged.

An invariant is what makes the method that method: not accuracy, for anything scores well on the digits.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeprune.graph import Coupling, Widths, find_groups, kept_units, trace
from edgeprune.recipe import recipe_names
from edgeprune.result import Result
from edgeprune.score import score
from edgeprune.sources.batches import calibration_batches
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification


class Run:
    """One finished run: its result, the dense network, its groups, what was kept and the weights it ended with."""

    def __init__(self, result: Result, path: Path, trained: Path) -> None:
        self.result = result
        self.dense = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1).eval()
        self.coupling: Coupling = find_groups(trace(self.dense, (torch.zeros(1, 1, 8, 8),)))
        self.widths = Widths.from_json((path / "widths.json").read_text())
        self.kept = kept_units(self.coupling, self.widths)
        self.weights = load_file(path / "model.safetensors")
        self.facts = result.recovery.facts

    def moved(self) -> set[str]:
        """The tensors that are no longer what was inherited."""
        own = self.widths.apply(self.dense).state_dict()
        return {name for name in own if name in self.weights and not torch.equal(own[name], self.weights[name])}

    def choice(self, criterion: str, **settings: object) -> float:
        """How far apart kept and removed channels are by a criterion of the dense network, in standard deviations."""
        data = load_data("builtin:digits")
        batches = calibration_batches(data, 512, 64, class_balanced=bool(settings.get("class_balanced")))
        scores = score(criterion, self.dense, self.coupling, batches, Classification(10), **settings)
        gaps = []
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


def ranks_by(criterion: str, **settings: object) -> Callable[[Run], None]:
    def invariant(run: Run) -> None:
        assert run.choice(criterion, **settings) > 0.5

    return invariant


def trains_on_half(run: Run) -> None:
    assert run.facts.get("images_kept") == round(0.5 * run.facts.get("images", 0)) > 0


def trains_a_part(run: Run) -> None:
    assert 0 < run.facts.get("trained_share", 1) < 1


def repairs_without_training(run: Run) -> None:
    assert run.result.recovery.epochs == []
    assert any(run.weights[name].ndim == 4 for name in run.moved()), "the layers that read were fitted"


def repairs_without_data(run: Run) -> None:
    repairs_without_training(run)
    assert not any("running" in name for name in run.moved())
    shares = {width["kept"] / width["dense"] for width in run.result.widths.values()}
    assert max(shares) - min(shares) < 0.3, "uniform, but for steps of 8"


def moves_means_into_biases(run: Run) -> None:
    assert run.result.recovery.epochs == []
    assert {name.rpartition(".")[2] for name in run.moved()} <= {"bias", "running_mean"}
    assert run.choice("flap") > 0.5


def extrapolates_nothing(run: Run) -> None:
    assert run.result.search.allocate == "latency"
    ranks_by("beta-rank")(run)


def asks_clients(run: Run) -> None:
    facts = run.facts
    assert facts.get("candidate") in facts.get("votes", {})
    assert facts["candidate"] == min(facts["votes"], key=facts["votes"].get)
    values = sum(t.numel() for name, t in run.weights.items() if not name.endswith("tracked"))
    sent = facts["bytes_to_server"]["train"]
    assert sent >= facts["rounds"] * 5 * 4 * values > 0.95 * sent, "slim weights of 5 clients, and some slopes"


CASES = {
    "beta-rank": (ranks_by("beta-rank"), 1, ("--score", "random")),
    "beta-rank-cb": (ranks_by("beta-rank", class_balanced=True), 1, ("--score", "random")),
    "beta-rank-paper": (ranks_by("beta-rank", direction="paper"), 1, ("--score", "random")),
    "l1": (ranks_by("l1"), 1, ("--score", "random")),
    "l2": (ranks_by("l2"), 1, ("--score", "random")),
    "bn-scale": (ranks_by("bn-scale"), 1, ("--score", "random")),
    "taylor": (ranks_by("taylor"), 1, ("--score", "random")),
    "measured-curves": (extrapolates_nothing, 1, ("--score", "random")),
    "data-pruning": (trains_on_half, 1, ("--recover", "finetune")),
    "perp": (trains_a_part, 1, ("--recover", "finetune")),
    "obspa": (repairs_without_training, 0, ("--recover", "finetune")),
    "obspa-no-data": (repairs_without_data, 0, ("--recover", "finetune")),
    "flap": (moves_means_into_biases, 0, ("--score", "random")),
    "fedtiny": (asks_clients, 4, ("--schedule", "one_shot")),
    "precropping": (inherits_nothing, 4, ("--schedule", "one_shot")),
    "scratch-b": (inherits_nothing, 2, ("--schedule", "one_shot", "--recover", "finetune")),
    "gradual": (prunes_gradually, 4, ("--score", "random")),
    "granet": (ranks_by_norm, 4, ("--score", "random")),
    "sap": (prunes_in_rounds, 6, ("--score", "random")),
    "mask-sparsity": (parts_the_scales, 8, ("--score", "random")),
    "global-mp": (keeps_a_floor, 1, ("--score", "random")),
    "global-mp-gradual": (prunes_gradually, 4, ("--score", "random")),
    "scratch-e": (inherits_nothing, 4, ("--schedule", "one_shot", "--recover", "finetune")),
}


def test_no_recipe_is_left_out() -> None:
    """All but the control, which is what the others are exchanged for."""
    assert set(recipe_names()) - set(CASES) == {"random"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_invariant_holds_and_is_lost_with_its_axis(finished, name) -> None:
    invariant, epochs, exchange = CASES[name]
    run = finished("--recipe", name, "--epochs", epochs)
    assert run.result.met
    invariant(run)
    with pytest.raises(AssertionError):
        invariant(finished("--recipe", name, "--epochs", epochs, *exchange))


@pytest.mark.slow
def test_scratch_b_and_the_controls_train_as_much_as_they_say(finished) -> None:
    run = finished("--recipe", "l1", "--epochs", 1, "--control", "scratch", "--dense-epochs", 2)
    controls = {control.name: control for control in run.result.controls}
    factor = run.result.dense.macs / run.result.pruned.macs
    assert (controls["scratch-e"].epochs, controls["scratch-b"].epochs) == (2, int(2 * factor))
    assert all(0 < control.metrics["accuracy"] <= 1 for control in controls.values())
    alone = finished("--recipe", "scratch-b", "--epochs", 2, "--allocate", "uniform", "--control", "scratch")
    assert len(alone.result.recovery.epochs) == alone.result.controls[1].epochs
