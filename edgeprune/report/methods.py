"""The taxonomy of the recipes on the terminal (the survey's axes: methods.md section 16)."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.recipe import Choice, Recipe

_NEEDS = ("data", "labels", "gradients")


def render_methods(recipes: Sequence[Recipe]) -> RenderableType:
    """One row a recipe."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    for column in ("prunes", *_NEEDS, "fused with"):
        table.add_column(column)
    for recipe in recipes:
        needs = ["yes" if need in recipe.needs else "-" for need in _NEEDS]
        name = f"{recipe.name} *" if recipe.mapped else recipe.name
        table.add_row(name, recipe.when, *needs, ", ".join(recipe.fused))
    notes = (
        "All remove whole channels; * changed from its paper for that: edgeprune methods RECIPE tells how.",
        "data, labels, gradients: what the pruning looks at. Training afterwards needs data and labels besides.",
    )
    return Group(table, *(Text(note, style="dim") for note in notes))


def render_method(recipe: Recipe) -> RenderableType:
    """All that is known of one recipe."""
    lines = [Text(f"{recipe.name}: {recipe.title}", style="bold")]
    rows = {
        "source": [recipe.source],
        "prunes": [f"{recipe.when} training"],
        "needs": [", ".join(recipe.needs) or "nothing but the weights"],
        "score": [_choice(recipe.score)],
        "allocate": [_choice(recipe.allocate)],
        "schedule": [_choice(recipe.schedule)],
        "recover": [_choice(recipe.recover)],
        "fused with": list(recipe.fused),
        "changed": [recipe.mapped],
        "published": [f"{entry.what}: {entry.value} ({entry.source})" for entry in recipe.published],
        "uncertain": list(recipe.uncertain),
        "here": [recipe.verdict or "not compared with L1 and fine-tuning yet: benchmarks/recipes.py"],
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for label, texts in rows.items():
        for number, text in enumerate(text for text in texts if text):
            table.add_row(label if number == 0 else "", Text(text))
    return Group(*lines, table)


def _choice(choice: Choice) -> str:
    fields = {key: value for key, value in choice.model_dump().items() if key not in ("name", "settings")}
    settings = ", ".join(f"{key} {value}" for key, value in {**fields, **choice.settings}.items())
    return f"{choice.name} ({settings})" if settings else choice.name
