"""A page of ours: one file, no network. Plotly's script is inline, which makes it about 5 MB.

The template is given `css`, `figures`, `specs` (their JSON), `plotly`, `plots` (the script
that draws them) and `samples_script` (the one that steps through images).
"""

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from edgeprune.report import text


def page(
    template: str, figures: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """The HTML text of a template beside this file. Everything that comes from outside is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"bytes": text.size, "duration": text.duration, "percent": text.percent, **(filters or {})}
    rendered: str = environment.from_string(_ours(template)).render(
        css=_ours("report.css"),
        figures=figures,
        specs=script_json(figures),
        plotly=Markup(get_plotlyjs()) if figures else "",
        plots=_ours("plots.js"),
        samples_script=_ours("samples.js"),
        **values,
    )
    return rendered.lstrip()


def script_json(value: Any) -> Markup:
    """JSON that may stand inside a script element: no "<" can end or open one."""
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e"))


def _ours(name: str) -> Markup:
    return Markup((files("edgeprune.report") / name).read_text(encoding="utf-8"))
