"""docs/picture.svg: accuracy over measured latency, from "Fashion-MNIST, ResNet-20" of docs/benchmarks.md.

python -m benchmarks.picture
"""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PICTURE = DOCS / "picture.svg"
SECTION = "Fashion-MNIST, ResNet-20"
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 76
X_RANGE, Y_RANGE = (25.0, 105.0), (91.6, 93.1)
RANGE = re.compile(r"([\d.]+) \(([\d.]+) to ([\d.]+)\)")
STYLE = """
.page { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11.5px; fill: #57606a } .title { font-size: 15px; font-weight: 600 }
.axis { stroke: #8c959f } .grid { stroke: #d0d7de; stroke-width: .6 } .dense { fill: #24292f }
.budget { stroke: #b35900; stroke-dasharray: 5 4 } .budgets { fill: #b35900; font-size: 12px }
.ours { fill: #0969da; stroke: #0969da } .other { fill: none; stroke: #6e7781; stroke-width: 2 }
.bar { stroke-width: 1.4 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #30363d }
.budget { stroke: #f0883e } .budgets { fill: #f0883e } .dense { fill: #e6edf3 }
.ours { fill: #58a6ff; stroke: #58a6ff } .other { stroke: #9198a1 }
}
"""


@dataclass(frozen=True)
class Point:
    """One row: accuracy in % and latency in % of dense, each as (mean, least, most) of the seeds."""

    budget: str
    ours: bool
    accuracy: tuple[float, float, float]
    latency: tuple[float, float, float]
    met: str


def read(page: str) -> tuple[tuple[float, float, float], list[Point], str]:
    """(accuracy of the dense network, the rows, the machine) of the section."""
    section = page.split(f"## {SECTION}\n", 1)[1].split("\n## ", 1)[0]
    dense = re.search(rf"Dense: {RANGE.pattern}", section)
    machine = re.search(r"^Machine: (.+)\.$", section, re.MULTILINE)
    assert dense is not None
    assert machine is not None
    points = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].endswith("%"):
            accuracy, latency = _three(cells[2]), _three(cells[3])
            points.append(Point(cells[0], cells[1].startswith("EdgePrune"), accuracy, latency, cells[4]))
    return _three(dense[0].removeprefix("Dense: ")), points, machine[1]


def _three(text: str) -> tuple[float, float, float]:
    found = RANGE.search(text)
    assert found is not None, text
    return float(found[1]), float(found[2]), float(found[3])


def _x(percent: float) -> float:
    return LEFT + (percent - X_RANGE[0]) / (X_RANGE[1] - X_RANGE[0]) * (WIDTH - LEFT - RIGHT)


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - (percent - Y_RANGE[0]) / (Y_RANGE[1] - Y_RANGE[0]) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _axes() -> list[str]:
    parts = [_line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis")]
    for percent in range(30, 101, 10):
        parts.append(_text(_x(percent), HEIGHT - BOTTOM + 18, f"{percent} %", "small", "middle"))
    for tenth in range(918, 931, 2):
        parts += [_line(LEFT, _y(tenth / 10), WIDTH - RIGHT, _y(tenth / 10), "grid"),
                  _text(LEFT - 8, _y(tenth / 10) + 4, f"{tenth / 10:.1f}", "small", "end")]  # fmt: skip
    return parts


def _mark(point: Point) -> list[str]:
    kind = "ours" if point.ours else "other"
    (accuracy, worst, best), (latency, least, most) = point.accuracy, point.latency
    x, y = _x(latency), _y(accuracy)
    shape = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" class="{kind}"/>'
        if point.ours
        else f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" class="{kind}"/>'
    )
    return [_line(x, _y(worst), x, _y(best), f"{kind} bar"), _line(_x(least), y, _x(most), y, f"{kind} bar"), shape]


def render() -> str:
    """The picture as SVG; it follows the reader's light or dark setting."""
    dense, points, machine = read((DOCS / "benchmarks.md").read_text(encoding="utf-8"))
    name = "ResNet-20 on Fashion-MNIST: test accuracy over latency measured on the converted file"
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" class="page"/>']
    parts += [_text(LEFT, 24, "ResNet-20 on Fashion-MNIST: accuracy, %, over measured latency", "title"), *_axes()]
    for budget in sorted({point.budget for point in points}):
        x = _x(float(budget.rstrip("%")))
        parts += [_line(x, TOP, x, HEIGHT - BOTTOM, "budget"), _text(x + 5, TOP + 10, f"budget {budget}", "budgets")]
    for point in points:
        parts += _mark(point)
        if not point.met.startswith("3 of"):
            label = f"met {point.met}"
            parts.append(_text(_x(point.latency[0]) + 14, _y(point.accuracy[0]) + 18, label, "small"))
    parts += [
        f'<circle cx="{_x(100):.1f}" cy="{_y(dense[0]):.1f}" r="5.5" class="dense"/>',
        _text(_x(100) - 10, _y(dense[0]) + 4, "dense", "", "end"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, "latency, share of the dense file's (LiteRT, 1 thread)",
              "small", "middle"),
        f'<circle cx="{LEFT + 6}" cy="{HEIGHT - 17}" r="5.5" class="ours"/>',
        _text(LEFT + 17, HEIGHT - 13, "EdgePrune"),
        f'<rect x="{LEFT + 98}" y="{HEIGHT - 22}" width="10" height="10" class="other"/>',
        _text(LEFT + 115, HEIGHT - 13, "Torch-Pruning, the widest within the budget"),
        _text(WIDTH - RIGHT, HEIGHT - 13, f"3 seeds: mean, range. {machine.split(',')[0]}", "small", "end"),
    ]  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(name)}</title><style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(render(), encoding="utf-8")
