"""Recipes: a published method is a choice on four axes, score x allocate x schedule x recover, kept as YAML."""

from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgeprune.errors import UsageError

# The names in the registries of the four packages, known without torch; a test holds them together.
SCORES = ("beta-rank", "l1", "l2", "bn-scale", "taylor", "random", "grouped", "flap")
ALLOCATIONS = ("latency", "uniform", "global", "adaptive", "pq-index", "precropping")
SCHEDULES = ("one_shot", "at_init", "gradual", "granet", "sap", "mask-sparsity", "fedtiny")
RECOVERIES = ("finetune", "closed-form", "perp", "bias", "kept-data", "scratch")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Part):
    """One axis: the name in that axis' registry (or file.py:NAME), and its settings. A bare name is the short form."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)


class Recovery(Choice):
    """How accuracy is won back. What every training has: `epochs` (0: none; the schedule takes its share of them),
    distillation weight `alpha`, temperature `tau`, peak learning rate `lr`; `reestimate`: before it, batch-norm
    statistics are taken anew from training images. `settings` are the named recovery's own.
    """

    name: str = "finetune"
    epochs: int = Field(10, ge=0)
    reestimate: bool = True
    alpha: float = Field(0.0, ge=0, le=1)
    tau: float = Field(4.0, gt=0)
    lr: float = Field(0.05, gt=0)


class Published(_Part):
    """A published number that a recipe aims at: what it is, its value, and where it stands."""

    what: str
    value: str
    source: str


class Recipe(_Part):
    """A method: how channels are scored, widths allotted, when it prunes, and how accuracy is won back.

    `mapped`: what of the paper had to be changed to prune channels ("" if nothing). `needs`: what the method looks at
    while it prunes. `fused`: what it goes with. `uncertain`: what the sources do not say. `verdict`: how it does
    against L1 with fine-tuning here, once that was measured. `masked`: the paper's own form, of single weights, if it
    has one (`--masked`).
    """

    name: str
    title: str
    source: str
    score: Choice
    allocate: Choice
    schedule: Choice
    recover: Recovery
    when: Literal["before", "during", "after"]
    structured: Literal["channels", "weights"] = "channels"
    mapped: str = ""
    needs: tuple[Literal["data", "labels", "gradients"], ...] = ()
    fused: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    uncertain: tuple[str, ...] = ()
    verdict: str = ""
    masked: Choice | None = None

    @field_validator("score", "allocate", "schedule", "recover", "masked", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def axes(self) -> dict[str, Any]:
        """What the method does, without what is said of it (JSON types)."""
        return self.model_dump(mode="json", include={"score", "allocate", "schedule", "recover"})


@cache
def recipe_names() -> tuple[str, ...]:
    """All recipes that ship with EdgePrune."""
    folder = resources.files("edgeprune") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def masked_recipes() -> tuple[str, ...]:
    """Those that define a masked form, of single weights."""
    return tuple(name for name in recipe_names() if _read(name).masked is not None)


def load_recipe(
    name: str,
    *,
    score: str | None = None,
    allocate: str | None = None,
    schedule: str | None = None,
    recover: str | None = None,
) -> Recipe:
    """The recipe of that name, or of a file NAME.yaml of one's own, with the axes exchanged that are given.

    An exchanged axis has its default settings; an exchanged recovery keeps what every training has (epochs, learning
    rate, distillation). Raises UsageError.
    """
    recipe = _read(name)
    exchanged: dict[str, Choice] = {}
    for axis, other, known in (
        ("score", score, SCORES), ("allocate", allocate, ALLOCATIONS), ("schedule", schedule, SCHEDULES),
        ("recover", recover, RECOVERIES),
    ):  # fmt: skip
        own: Choice = getattr(recipe, axis)
        chosen = own.name if other is None else other
        if chosen not in known and ".py:" not in chosen:
            raise UsageError(f"Unknown {_AXES[axis]} {chosen!r}." + _nearest(chosen, known), _choices(known))
        if chosen != own.name:
            exchanged[axis] = own.model_copy(update={"name": chosen, "settings": {}})
    return recipe.model_copy(update=exchanged)


def chosen_recipes(*, when: str | None = None, without: tuple[str, ...] = (), fused: str | None = None) -> list[Recipe]:
    """The recipes that ship, by when they prune, what they do not need and what they are fused with.

    Raises UsageError for words that mean nothing here.
    """
    recipes = [load_recipe(name) for name in recipe_names()]
    if when not in (None, "before", "during", "after"):
        raise UsageError(f"--when {when}: nothing prunes then.", _choices(("before", "during", "after")))
    for word in without:
        if word not in ("data", "labels", "gradients"):
            raise UsageError(f"--without {word}: no method is asked that.", _choices(("data", "labels", "gradients")))
    known = sorted({word for recipe in recipes for word in recipe.fused})
    if fused is not None and fused not in known:
        raise UsageError(f"--fused {fused}: no method is." + _nearest(fused, tuple(known)), _choices(tuple(known)))
    return [
        recipe
        for recipe in recipes
        if (when is None or recipe.when == when)
        and not set(without) & set(recipe.needs)
        and (fused is None or fused in recipe.fused)
    ]


_AXES = {"score": "score", "allocate": "allocation", "schedule": "schedule", "recover": "recovery"}


def _read(name: str) -> Recipe:
    if name in recipe_names():
        text = (resources.files("edgeprune") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
        return Recipe(name=name, **yaml.safe_load(text))
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"Unknown recipe {name!r}." + _nearest(name, recipe_names()), _choices(recipe_names()))
    try:
        recipe = Recipe(name=path.stem, **yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Give a recipe's name or its YAML file.") from error
    except (yaml.YAMLError, TypeError) as error:
        raise UsageError(f"{path} is no recipe: {error}", "Copy one of edgeprune/recipes/.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise UsageError(f"{path} is no recipe: {wrong}", "See docs/add-a-method.md.") from error
    beside = {
        axis: choice.model_copy(update={"name": str(path.parent / choice.name)})
        for axis in _AXES
        if ".py:" in (choice := getattr(recipe, axis)).name
    }
    return recipe.model_copy(update=beside)


def _nearest(name: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(name, names, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _choices(names: tuple[str, ...]) -> str:
    return f"Choose one of: {', '.join(names)}."
