"""`edgeprune methods`: generated from the YAML files, so that no recipe is missing."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch.utils.data import DataLoader

import edgeprune
from benchmarks.recipes import set_verdict, verdicts
from edgeprune.allocate.rules import RULES
from edgeprune.errors import UsageError
from edgeprune.recipe import load_recipe, recipe_names
from edgeprune.recover import RECOVERIES
from edgeprune.registry import make
from edgeprune.schedule import SCHEDULES
from edgeprune.score import CRITERIA
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model


def test_every_recipe_is_listed(cli) -> None:
    shown = cli("methods").stdout
    assert [name for name in recipe_names() if name not in shown] == []
    listed = json.loads(cli("methods", "--json").stdout)
    assert tuple(recipe["name"] for recipe in listed) == recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_made(name) -> None:
    """All four axes exist and take the settings that the YAML gives them."""
    recipe = load_recipe(name)
    assert recipe.score.name in CRITERIA
    assert recipe.allocate.name == "latency" or callable(make(recipe.allocate, RULES))
    for choice, registry in ((recipe.schedule, SCHEDULES), (recipe.recover, RECOVERIES)):
        made = make(choice, registry)
        assert callable(made)
        assert callable(made.check)
    if recipe.when == "during":
        assert set(recipe.needs) == {"data", "labels", "gradients"}


def test_the_columns_of_the_table(cli) -> None:
    shown = cli("methods").stdout
    heading = next(line for line in shown.splitlines() if "recipe" in line)
    assert heading.split() == ["recipe", "prunes", "struct.", "data", "labels", "grad.", "fused", "with", "vs", "L1"]
    assert max(map(len, shown.splitlines())) <= 80
    row = next(line for line in shown.splitlines() if line.split()[:1] == ["granet"])
    assert row.split()[:8] == ["granet", "*", "during", "yes,", "m", "yes", "yes", "yes"]
    assert "not measured yet" in " ".join(shown.split())
    assert "not measured yet" in cli("methods", "granet").stdout or load_recipe("granet").verdict
    masked = " ".join(cli("methods", "granet").stdout.split())
    assert "masked gradual (density 0.2" in masked
    assert "masked" not in cli("methods", "flap").stdout


def test_a_verdict_stands_only_where_the_benchmark_has_its_row() -> None:
    page = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    section = page.partition("\n## Recipes\n")[2].partition("\n## ")[0]
    measured = {line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")}
    for name in recipe_names():
        assert bool(load_recipe(name).verdict) == (name in measured and name != "l1"), name


def test_a_verdict_is_what_all_seeds_say(tmp_path) -> None:
    def rows(recipe: str, *accuracies: float | None) -> list[dict[str, object]]:
        return [{"recipe": recipe, "seed": seed, "accuracy": accuracy, "latency": "50%", "budget": 6}
                for seed, accuracy in enumerate(accuracies)]  # fmt: skip

    told = verdicts(
        rows("l1", 0.90, 0.91, 0.92) + rows("better", 0.91, 0.93, 0.925) + rows("worse", 0.89, 0.90, 0.91)
        + rows("mixed", 0.91, 0.90, 0.93) + rows("few", 0.99, 0.99) + rows("missed", None, None, None), "50%", 6
    )  # fmt: skip
    words = {recipe: verdict.partition(":")[0] for recipe, verdict in told.items()}
    same = "no clear difference"
    assert words == {"better": "wins", "worse": "loses", "mixed": same, "few": same}
    assert told["better"].startswith("wins: +1.17 points (+0.50 to +2.00)")
    file = tmp_path / "better.yaml"
    file.write_text("title: x\nverdict: old\nscore: l1\n")
    set_verdict(file, told["better"])
    assert yaml.safe_load(file.read_text()) == {"title": "x", "score": "l1", "verdict": told["better"]}


def test_filters(cli) -> None:
    def names(*words: str) -> set[str]:
        return {recipe["name"] for recipe in json.loads(cli("methods", *words, "--json").stdout)}

    assert names("--when", "before") == {"precropping", "scratch-b", "scratch-e"}
    assert {"l1", "obspa-no-data"} <= names("--without", "data")
    assert "taylor" not in names("--without", "gradients")
    assert "beta-rank" in names("--without", "labels", "--without", "gradients")
    assert "obspa" not in names("--fused", "distillation")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--when", "never"], "nothing prunes then"), (["--without", "hope"], "data, labels, gradients"),
     (["--fused", "destillation"], "Did you mean distillation"), (["granit"], "Did you mean granet")],
)  # fmt: skip
def test_words_that_mean_nothing(cli, words, said) -> None:
    done = cli("methods", *words)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_one_recipe_in_full(cli) -> None:
    shown = " ".join(cli("methods", "granet").stdout.split())
    for text in ("NeurIPS 2021", "regrow 0.5", "76.0 / 74.5", "from memory", "coupled channels"):
        assert text in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--recipe", "gradual", "--epochs", "0"], "has 0 steps of training"),
     (["--recipe", "granet", "--epochs", "1", "--batch-size", "600"], "10 steps, but has 1 steps"),
     (["--recipe", "sap", "--epochs", "4"], "3 rounds of pruning need 3 epochs or more, and have 2 of 4"),
     (["--recipe", "mask-sparsity", "--epochs", "0"], "there are 0 epochs"),
     (["--recipe", "scratch-e", "--epochs", "0"], "from scratch has 0 epochs"),
     (["--schedule", "graduel"], "Did you mean gradual"), (["--recover", "scrach"], "Did you mean scratch")],
)  # fmt: skip
def test_a_training_that_does_not_fit_is_refused_before_any_work(cli, tmp_path, words, said) -> None:
    done = cli(
        "optimize", "--model", "builtin:resnet8", "--data", "builtin:digits", "--macs", "50%", *words, "-o", "run"
    )
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


SMALL = """
from torch import nn


def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.mark.parametrize(
    ("recipe", "code", "said"),
    [("l1", 4, "too small to be narrowed in steps of 4: "), ("precropping", 4, "or --multiple 1"),
     ("mask-sparsity", 2, "works on the scales of norm layers, and the network has none")],
)  # fmt: skip
def test_layers_that_a_recipe_cannot_prune_are_named_before_any_work(cli, tmp_path, recipe, code, said) -> None:
    (tmp_path / "net.py").write_text(SMALL)
    done = cli("optimize", "--model", "net.py:make", "--data", "builtin:digits", "--macs", "50%", "--recipe", recipe,
               "-o", "run", "--json")  # fmt: skip
    assert done.exit_code == code
    assert said in json.dumps(json.loads(done.stdout))
    assert "Dense baseline" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["beta-rank-cb", "data-pruning", "fedtiny"])
def test_a_recipe_that_needs_classes_says_so_before_any_work(tmp_path, recipe) -> None:
    digits = load_data("builtin:digits")
    loader = DataLoader(digits.train, batch_size=64)
    with pytest.raises(UsageError, match="needs the class of every image"):
        edgeprune.optimize(
            load_model("builtin:resnet8", None, num_classes=10, in_channels=1), torch.zeros(1, 1, 8, 8),
            train=loader, val=loader, macs="50%", recipe=recipe, output=tmp_path / "run",
            loss=torch.nn.functional.cross_entropy, evaluate=lambda *_: 0.5,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()
