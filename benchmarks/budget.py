"""Is the budget kept? Each final network is measured once more, by what knows nothing of the search.

python -m benchmarks.budget [--models resnet18 ...] [--runtimes litert executorch] [--budgets 50% ...]

4 networks x 3 budgets x 2 runtimes at 96 pixels, one `edgeprune optimize --epochs 0` each (latency does not depend on
training), then 10 paired A-B-B-A rounds of the shipped files in fresh processes. The budget is kept where the 95 %
interval of ratio / budget meets [0.95, 1.00], and broken where it lies wholly above 1.00. No row is tried twice.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torchvision
from safetensors.torch import save_file

import profilers.host as host
from benchmarks import command, pictures, table
from converters.artifact import SUFFIXES
from edgeprune.graph.generic import generic_copy
from edgeprune.profiling.subjects import artifact_of

MODELS = ("resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "efficientnet_b0")
RUNTIMES = ("litert", "executorch")
BUDGETS = ("50%", "33%", "25%")
ROUNDS = 10


def row(model: str, runtime: str, budget: str) -> dict[str, Any]:
    """Optimise, then measure the two files that are left."""
    with tempfile.TemporaryDirectory(prefix="edgeprune-budget-") as place:
        weights, run = Path(place) / "generic.safetensors", Path(place) / "run"
        network = generic_copy(torchvision.models.get_model(model, weights=None, num_classes=10).eval(), 0).float()
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
        told = command.optimize(
            run, "--model", f"torchvision:{model}", "--weights", str(weights), "--data", pictures.SPEC,
            "--target", "host", "--runtime", runtime, "--formats", runtime, "--latency", budget, "--epochs", "0",
        )  # fmt: skip
        if "error" in told:
            return {"exit": told["exit"], "note": told["error"]["message"]}
        dense, pruned = (artifact_of(run / "artifacts" / f"{name}{SUFFIXES[runtime]}") for name in ("dense", "pruned"))
        ratio = host.compare(dense, pruned, rounds=ROUNDS, memory=False)[2]
    limit = float(budget.rstrip("%")) / 100
    used = [end / limit for end in ratio.ci95]
    return {
        "exit": told["exit"],
        "used": ratio.median / limit,
        "used_ci95": used,
        "kept": used[0] <= 1.0 and used[1] >= 0.95,
        "broken": used[0] > 1.0,
        "candidates": told["search"]["candidates_measured"],
        "seconds": told["seconds"],
    }


def report() -> str:
    """The Markdown table of all rows so far."""
    rows = table.rows("budget")
    body = []
    for r in rows:
        if "used" in r:
            low, high = r["used_ci95"]
            verdict = "yes" if r["kept"] else "broken" if r["broken"] else "unused"
            shown = [f"{r['used']:.3f}", f"{low:.3f} to {high:.3f}", verdict, str(r["candidates"])]
        else:
            shown = ["", "", r["note"] or f"exit {r['exit']}", ""]
        body.append([r["model"], r["runtime"], r["budget"], *shown])
    kept, broken = sum(r.get("kept", False) for r in rows), sum(r.get("broken", False) for r in rows)
    heading = ["network", "runtime", "budget", "used, share of the budget", "95 %", "kept", "candidates"]
    return (
        "Latency of the final files against the dense ones, 10 A-B-B-A rounds after the run, as a share of the budget; "
        f"kept: the interval meets [0.95, 1.00]. {kept} of {len(rows)} kept, {broken} broken.\n\n"
        + table.markdown(heading, body)
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), choices=RUNTIMES)
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS))
    args = parser.parse_args()
    for runtime in args.runtimes:
        for model in args.models:
            for budget in args.budgets:
                key = {"model": model, "runtime": runtime, "budget": budget}
                table.once("budget", key, lambda key=key: row(**key))
                table.write_section(Path("docs/benchmarks.md"), "The budget is kept", report())
    print(report())


if __name__ == "__main__":
    main()
