"""Code that loads the pruned model with its preprocessing: one file a language, from the templates beside this file."""

from pathlib import Path
from typing import Any

import jinja2

from edgeprune.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write_snippets(content: dict[str, Any], folder: Path) -> None:
    """Write a snippet of each language for the pruned model, or the dense one if nothing was pruned.

    Java and Kotlin run LiteRT, Swift runs Core ML. Nothing is written where preprocessing or model are not known.
    """
    models = [model for model in content["models"] if model["runtime"] == "litert"]
    if content["preprocessing"] is None or not models:
        return
    model = next((model for model in models if model["network"] == "pruned"), models[0])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    folder.mkdir()
    for template in sorted(TEMPLATES.glob("*.jinja")):
        text = environment.get_template(template.name).render(
            model=model, **content["preprocessing"], name=content["name"]
        )
        write_text(folder / template.stem, text)
