"""The inverse question: `--max-drop 1` asks for the fastest network that loses at most one point.

What a latency costs is known only after training, so the latency is bisected with whole runs: half of dense first, then
the geometric mean of the slowest that lost too much and the fastest that did not.
"""

import math
from collections.abc import Callable
from pathlib import Path

from edgeprune.answers import Front, FrontPoint
from edgeprune.config import Config
from edgeprune.pipeline.front import Runs, front_name
from edgeprune.progress import Progress

FIRST, QUICKER = 0.5, 0.6  # of dense, and of the fastest that held while none has lost too much
RUNS = 4
CLOSE = 1.08  # an interval narrower than this factor is not halved again


def optimize_fastest(config: Config, output: Path | None, *, resume: bool, progress: Progress) -> Front:
    """At most four runs; `chosen` of the front is the fastest within `config.max_drop` points of dense on val.

    It is None where none was: then the front tells what the mildest budget that was tried lost.
    """
    points, name = config.max_drop or 0.0, front_name(config)
    config = config.model_copy(update={"max_drop": None})
    runs = Runs(config, output, resume=resume, progress=progress, name=name)

    def fits(point: FrontPoint) -> bool:
        return point.met and point.drop is not None and point.drop <= points + 1e-9

    def tried(share: float) -> float | None:
        """The reached share of dense where the run held, None where it lost too much or missed its budget."""
        point = runs.run(f"{share:.0%}")
        held = fits(point)
        if point.drop is not None:
            verdict = "" if held else ", too much" if point.met else ", and its budget was not met"
            progress.note(f"{point.asked} of dense: {-point.drop:+.2f} points on val{verdict}")
        return point.ratio if held else None

    bisect(tried)
    held = [point for point in runs.points if fits(point) and point.ratio is not None]
    return runs.finish(points, min(held, key=lambda point: point.ratio or math.inf, default=None))


def bisect(tried: Callable[[float], float | None], runs: int = RUNS) -> None:
    """Ask `tried` for shares of the dense latency, each within what the answers before have left open."""
    lost, held, share = None, 1.0, FIRST
    asked: set[float] = set()
    while len(asked) < runs and share not in asked:
        asked.add(share)
        reached = tried(share)
        if reached is None:
            lost = share
        else:
            held = min(held, reached, share)
        if lost is not None and held / lost < CLOSE:
            return
        share = round(held * QUICKER if lost is None else math.sqrt(held * lost), 2)
