"""`edgeprune methods`: the published methods as a table, from the recipes' YAML files."""

from typing import Annotated

import typer

EPILOG = """[bold]Examples[/bold]

All recipes: when they prune, what they look at, what they go with:

  edgeprune methods

Those that prune without labels:

  edgeprune methods --without labels --when after

One of them: its paper, what was changed, what is uncertain, the number it aims at:

  edgeprune methods granet
"""


def methods(
    name: Annotated[str | None, typer.Argument(help="A recipe, or a YAML file.", metavar="[RECIPE]")] = None,
    when: Annotated[
        str | None, typer.Option("--when", help="Only those that prune before, during or after training.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="Only those that need no data, labels or gradients; may be repeated."),
    ] = None,
    fused: Annotated[str | None, typer.Option("--fused", help="Only those fused with this, e.g. distillation.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The recipes as JSON on stdout.")] = False,
) -> None:
    """Show the pruning methods: when they prune, what they need, where they come from."""
    from edgeprune.cli.failure import reported

    with reported(json):
        import json as jsonlib

        from rich.console import Console

        from edgeprune.recipe import chosen_recipes, load_recipe
        from edgeprune.report.methods import render_method, render_methods

        found = [load_recipe(name)] if name else chosen_recipes(when=when, without=tuple(without or ()), fused=fused)
        if json:
            typer.echo(jsonlib.dumps([recipe.model_dump(mode="json") for recipe in found], indent=2))
        else:
            Console().print(render_method(found[0]) if name else render_methods(found))
