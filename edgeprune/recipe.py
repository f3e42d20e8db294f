"""Recipes: a published method is a choice on four axes, score x allocate x schedule x recover, kept as YAML."""

from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from edgeprune.errors import UsageError

SCORES = ("beta-rank", "l1", "l2", "bn-scale", "taylor", "random", "grouped")  # edgeprune.score's, known without torch
ALLOCATIONS = ("latency", "uniform", "global", "precropping")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Part):
    """One axis: the name in that axis' registry, and its settings."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)


class Recovery(_Part):
    """How accuracy is won back.

    Training: `epochs` (0: none), distillation weight `alpha`, temperature `tau`, peak learning rate `lr`. Before it,
    `repair` fits the layers that read pruned channels in closed form, on "data" (training images) or on "noise";
    `reestimate`: batch-norm statistics are taken anew from training images.
    """

    epochs: int = Field(10, ge=0)
    repair: Literal["data", "noise"] | None = None
    reestimate: bool = True
    alpha: float = Field(0.0, ge=0, le=1)
    tau: float = Field(4.0, gt=0)
    lr: float = Field(0.05, gt=0)


class Recipe(_Part):
    """A method: how channels are scored, widths allotted, when it prunes, and how accuracy is won back."""

    name: str
    title: str
    source: str
    score: Choice
    allocate: Choice
    schedule: Literal["one_shot", "at_init"]
    recover: Recovery


@cache
def recipe_names() -> tuple[str, ...]:
    """All recipes that ship with EdgePrune."""
    folder = resources.files("edgeprune") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_recipe(name: str, *, score: str | None = None, allocate: str | None = None) -> Recipe:
    """The recipe of that name, with the score or the allocation exchanged if given. Raises UsageError."""
    if name not in recipe_names():
        raise UsageError(f"Unknown recipe {name!r}." + _nearest(name, recipe_names()), _choices(recipe_names()))
    text = (resources.files("edgeprune") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    recipe = Recipe(name=name, **yaml.safe_load(text))
    if score is not None and score != recipe.score.name:
        if score not in SCORES:
            raise UsageError(f"Unknown score {score!r}." + _nearest(score, SCORES), _choices(SCORES))
        recipe = recipe.model_copy(update={"score": Choice(name=score)})
    if allocate is not None and allocate != recipe.allocate.name:
        if allocate not in ALLOCATIONS:
            raise UsageError(
                f"Unknown allocation {allocate!r}." + _nearest(allocate, ALLOCATIONS), _choices(ALLOCATIONS)
            )
        recipe = recipe.model_copy(update={"allocate": Choice(name=allocate)})
    return recipe


def _nearest(name: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(name, names, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _choices(names: tuple[str, ...]) -> str:
    return f"Choose one of: {', '.join(names)}."
