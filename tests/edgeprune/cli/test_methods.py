"""`edgeprune methods`: generated from the YAML files, so that no recipe is missing."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

import edgeprune
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


@pytest.mark.parametrize("recipe", ["beta-rank-cb", "data-pruning"])
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
