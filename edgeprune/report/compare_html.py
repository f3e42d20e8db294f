"""The page of `edgeprune compare`: figures, tables, and every image with what each network makes of it."""

import base64
import io
from math import degrees
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from edgeprune.diagnose.comparison import Comparison
from edgeprune.diagnose.corruptions import CORRUPTIONS, family
from edgeprune.files import write_text
from edgeprune.report import compare_figures as figures
from edgeprune.report import facts
from edgeprune.report.page import page, script_json

SHOWN = 500  # images with marks of their own; more make a page slow
FRAGILE = 24
_EDGE = 64


def write_page(found: Comparison, path: Path) -> None:
    """Write the page, whole or not at all. Raises EnvironmentProblem when `path` cannot be written."""
    write_text(path, render(found))


def render(found: Comparison) -> str:
    """The HTML text. Everything that comes from outside is escaped."""
    fragile = {name: figures.fragile(found, name, FRAGILE) for name in found.pairs}
    shown = _shown(found, fragile)
    return page(
        "compare.html",
        figures.all_figures(found, shown),
        found=found,
        facts=facts,
        families={name: family(name) for name in CORRUPTIONS},
        fragile={name: [shown.index(i) for i in images] for name, images in fragile.items()},
        samples=[_sample(found, i) for i in shown],
        samples_json=script_json([_sample(found, i) for i in shown]),
    )


def _shown(found: Comparison, fragile: dict[str, list[int]]) -> list[int]:
    """Images spread evenly, and all that pruning lost."""
    count = len(found.targets)
    even = torch.linspace(0, max(count - 1, 0), min(count, SHOWN)).round().long().tolist()
    return sorted({*even, *(i for images in fragile.values() for i in images)})


def _sample(found: Comparison, index: int) -> dict[str, Any]:
    """One image for the page: its picture, its class, and what every network answers."""
    return {
        "picture": picture(found.images[index]),
        "name": found.class_names[int(found.targets[index])],
        "answers": {name: _answer(found, name, index) for name in found.answers},
    }


def _answer(found: Comparison, network: str, index: int) -> list[str]:
    answer = found.answers[network]
    said = found.class_names[int(answer.predicted[index])]
    if answer.geometry is None:
        return [said, "n/a", "n/a", "n/a", "n/a"]
    g = answer.geometry
    angles = [f"{degrees(float(v[index])):.1f}°" for v in (g.own, g.other)]
    return [said, f"{float(g.norm[index]):.3g}", *angles, f"{float(g.logit_margin[index]):+.3g}"]


def picture(image: Tensor) -> str:
    """An image (C, H, W) in [0, 1] as a data URI; of other than three channels the first, in grey."""
    pixels = (255 * (image if len(image) == 3 else image[:1])).round().byte().permute(1, 2, 0).numpy()
    drawn = Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
    drawn.thumbnail((_EDGE, _EDGE))
    written = io.BytesIO()
    drawn.save(written, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
