"""The taxonomy of the recipes on the terminal (the survey's axes: methods.md section 16)."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.recipe import Choice, Recipe

NOT_MEASURED = "not measured yet"
_SHORT = {"wins": "wins", "loses": "loses", "no clear difference": "same"}
_NEEDS = ("data", "labels", "gradients")


def render_methods(recipes: Sequence[Recipe]) -> RenderableType:
    """One row a recipe."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("recipe", "prunes", "struct.", "data", "labels", "grad."):
        table.add_column(column, no_wrap=True)
    table.add_column("fused with", min_width=13)
    table.add_column("vs L1", no_wrap=True)
    for recipe in recipes:
        needs = ["yes" if need in recipe.needs else "-" for need in _NEEDS]
        name = f"{recipe.name} *" if recipe.mapped else recipe.name
        structured = ("yes" if recipe.structured == "channels" else "no") + (", m" if recipe.masked is not None else "")
        verdict = "-" if recipe.name == "l1" else _SHORT.get(recipe.verdict.partition(":")[0], "?")
        table.add_row(name, recipe.when, structured, *needs, ", ".join(recipe.fused), verdict)
    notes = (
        "struct.: whole channels are removed; m: there is also the paper's own form, of single weights, by --masked.",
        "*: changed from its paper for channels; edgeprune methods RECIPE tells how, and what is uncertain.",
        "data, labels, grad.: what the pruning looks at. Training afterwards needs data and labels besides.",
        f"vs L1: accuracy beside L1 with fine-tuning at equal measured latency; ?: {NOT_MEASURED}.",
    )
    return Group(table, *(Text(note, style="dim") for note in notes))


def render_method(recipe: Recipe) -> RenderableType:
    """All that is known of one recipe."""
    lines = [Text(f"{recipe.name}: {recipe.title}", style="bold")]
    rows = {
        "source": [recipe.source],
        "prunes": [f"{recipe.when} training"],
        "what": [f"whole {recipe.structured}"],
        "needs": [", ".join(recipe.needs) or "nothing but the weights"],
        "score": [_choice(recipe.score)],
        "allocate": [_choice(recipe.allocate)],
        "schedule": [_choice(recipe.schedule)],
        "recover": [_choice(recipe.recover)],
        "fused with": list(recipe.fused),
        "changed": [recipe.mapped],
        "published": [f"{entry.what}: {entry.value} ({entry.source})" for entry in recipe.published],
        "uncertain": list(recipe.uncertain),
        "masked": [_choice(recipe.masked)] if recipe.masked is not None else [],
        "against L1": [recipe.verdict or NOT_MEASURED],
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
