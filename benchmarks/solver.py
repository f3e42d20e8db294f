"""The solver alone: time and proven gap at 8-channel steps, and growth with depth from ResNet-18 to ResNet-152.

python -m benchmarks.solver [--models resnet50 ...] [--budgets 0.5 0.33]

Layer times are those of this machine (LiteRT, 1 thread, 64 pixels: the width problem is as large as at 224). The loss
of a width is the share of the group's squared filter norms that it drops, with generic weights: how long solving takes
does not depend on what the loss is made of. The gap is against the solver's own proven bound.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from benchmarks import table
from edgeprune.graph import Coupling, find_groups, trace
from edgeprune.graph.generic import generic_copy
from edgeprune.score import score
from edgeprune.search.cost_table import CostTable
from edgeprune.search.curves import Curve
from edgeprune.search.limits import LatencyLimit
from edgeprune.search.predictor import Predictor
from edgeprune.search.problem import Problem
from edgeprune.search.solver import solve
from edgeprune.targets.host import HostTarget
from edgeprune.task import Classification
from profilers.store import Store

MODELS = ("mobilenet_v2", "densenet121", "googlenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
MULTIPLE = 8


def curves(model: nn.Module, coupling: Coupling) -> dict[str, Curve]:
    """Share of the squared norms that each width drops: 1 - (sum of the w largest) / (sum of all)."""
    found = {}
    menus = coupling.menu(MULTIPLE)
    for name, squares in score("l2", model, coupling, [], Classification(1000)).items():
        menu = menus.get(name, ())
        if len(menu) > 1:
            kept = squares.double().square().sort(descending=True).values.cumsum(0)
            found[name] = Curve({w: float(1 - kept[w - 1] / kept[-1]) for w in menu})
    return found


def row(name: str, budgets: list[float]) -> dict[str, Any]:
    """Seconds and gap of the solution at each budget."""
    model = generic_copy(torchvision.models.get_model(name, weights=None).eval(), 0).float().eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    coupling = find_groups(trace(model, (x,)))
    menus = coupling.menu(MULTIPLE)
    target = HostTarget(threads=1)
    with target.prober() as prober:
        costs = CostTable(coupling, menus, prober, target.layer_costs(Store()))
    layers = sum(layer.ms for layer in Predictor(coupling, costs, 1.0).breakdown({}))
    predictor = Predictor(coupling, costs, layers)
    loss = curves(model, coupling)
    menus = {group: menu for group, menu in menus.items() if group in loss}
    found: dict[str, Any] = {"groups": len(menus), "choices": sum(map(len, menus.values())), "at": {}}
    for share in budgets:
        limit = LatencyLimit(predictor, share * predictor.predict({}))
        problem = Problem(menus, {g: loss[g](menu) for g, menu in menus.items()}, tuple(limit.rows(menus)))
        started = time.perf_counter()
        solution = solve(problem)
        found["at"][f"{share:.0%}"] = {"solve_s": time.perf_counter() - started, "gap": solution.gap}
    return found


def report() -> str:
    """The Markdown table."""
    body = []
    for name in MODELS:
        for found in [r for r in table.rows("solver") if r["model"] == name]:
            for share, at in found["at"].items():
                body.append([
                    name, str(found["groups"]), str(found["choices"]), share, f"{at['solve_s']:.2f}",
                    f"{at['gap']:.3%}",
                ])  # fmt: skip
    heading = ["network", "groups", "widths in all", "budget", "solve, s", "proven gap"]
    about = "Widths in multiples of 8 under a latency budget, as a share of the dense network's; one thread.\n\n"
    return about + table.markdown(heading, body)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.5, 0.33, 0.25])
    args = parser.parse_args()
    for name in args.models:
        table.once("solver", {"model": name}, lambda n=name: row(n, args.budgets))
        table.write_section(Path("docs/benchmarks.md"), "Solver", report())
    print(report())


if __name__ == "__main__":
    main()
