"""Parts of which the pictures are made, in Plotly's terms; colours are names of the page's CSS variables."""

from typing import Any

Spec = dict[str, Any]

ROW_PX = 22  # height of one bar with its label


def padded(values: list[float]) -> list[float]:
    """Ends of an axis that holds the values with some room."""
    low, high = min(values), max(values)
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - margin, high + margin]


def short(name: str, longest: int = 24) -> str:
    """A name without its middle where it is too long for an axis."""
    return name if len(name) <= longest else f"{name[: longest // 2 - 1]}…{name[-(longest // 2) :]}"


def height_of(bars: int, row_px: int = ROW_PX) -> int:
    """Pixels of a picture with that many bars."""
    return 110 + row_px * bars


def bar(name: str, labels: list[str], values: list[Any], colour: str, width: float | None) -> Spec:
    """Horizontal bars, one a label; hovering names it."""
    drawn: Spec = {"type": "bar", "orientation": "h", "name": name, "x": values, "y": list(range(len(labels)))}
    drawn |= {"text": labels, "textposition": "none", "marker": {"color": colour}}
    drawn |= {"hovertemplate": f"%{{text}}: {name} %{{x:.4g}}<extra></extra>"}
    return drawn if width is None else {**drawn, "width": width}


def categories(layout: Spec, names: list[str]) -> Spec:
    """The y axis shows names, the first on top."""
    ticks = {"autorange": "reversed", "tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    return {**layout, "yaxis": {**layout["yaxis"], **ticks}}


def dashed(color: str = "--budget", **ends: Any) -> Spec:
    """A dashed line behind the data; `ends` are Plotly's x0, x1, y0, y1 and references."""
    return {"type": "line", "line": {"color": color, "width": 1.5, "dash": "dash"}, "layer": "below", **ends}


def axes(height: int, x: str, y: str) -> Spec:
    """A plain layout: titles of both axes, the legend on top, no background."""
    axis = {"gridcolor": "--rule", "zeroline": False, "linecolor": "--rule", "automargin": True, "fixedrange": True}
    return {
        "height": height,
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
        "margin": {"l": 8, "r": 16, "t": 36, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--ink"},
        "hoverlabel": {"bgcolor": "--paper", "font": {"color": "--ink"}},
    }
