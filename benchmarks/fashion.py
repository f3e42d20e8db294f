"""Fashion-MNIST, ResNet-20, 3 seeds: EdgePrune against Torch-Pruning at the same measured latency and the same epochs.

python -m benchmarks.fashion [--seeds 0 1 2] [--budgets 50% 33%] [--methods edgeprune torch-pruning]

Every row is kept in build/bench/fashion.jsonl: a killed benchmark goes on. The table goes to docs/benchmarks.md.
Both methods start from the same dense weights and use the same recovery: batch-norm re-estimation, then 3 epochs of
distillation from the dense network. The test set is read once a row.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import converters
import profilers.host as host
from benchmarks import command, table, torch_pruning
from benchmarks.train_baseline import train
from edgeprune.config import Config
from edgeprune.graph import Widths
from edgeprune.pipeline.job import make_job
from edgeprune.pipeline.train import make_work
from edgeprune.progress import LoggedProgress
from edgeprune.sources.batches import loaders
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification

MODEL, DATA = "builtin:resnet20", "fashion-mnist:/usr/share/datasets/fashion-mnist"
EPOCHS, DENSE_EPOCHS, DENSE_LR = 3, 7, 0.2
BUDGETS = {"50%": 0.50, "33%": 0.33}


def weights_of(seed: int) -> Path:
    """The trained dense network of a seed; trained now if it is not there."""
    path = Path(f"build/fashion/resnet20-{seed}.safetensors")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        train(MODEL, DATA, DENSE_EPOCHS, DENSE_LR, seed, path)
    return path


def ours(seed: int, budget: str) -> dict[str, Any]:
    """One `edgeprune optimize` as a user would run it."""
    folder = Path(f"build/bench/fashion-{seed}-{budget.rstrip('%')}")
    result = command.optimize(
        folder, "--model", MODEL, "--weights", str(weights_of(seed)), "--data", DATA, "--target", "host",
        "--latency", budget, "--epochs", str(EPOCHS), "--seed", str(seed), "--formats", "litert",
    )  # fmt: skip
    if "error" in result:
        return {"accuracy": None, "note": result["error"]["message"]}
    requirement = command.latency_of(result)
    return {
        "dense": result["dense"]["accuracy"],
        "accuracy": result["pruned"]["accuracy"],
        "ratio": requirement["ratio"],
        "ratio_ci95": requirement["ratio_ci95"],
        "met": result["met"],
        "dense_ms": result["dense"]["latency_ms"]["median"],
        "ms": result["pruned"]["latency_ms"]["median"],
        "macs": result["pruned"]["macs"] / result["dense"]["macs"],
        "search_s": result["search"]["seconds"],
        "candidates": result["search"]["candidates_measured"],
        "rounds": len(result["search"]["rounds"]),
    }


def theirs(seed: int, budget: str) -> dict[str, Any]:
    """Torch-Pruning with its ratio bisected against the clock, then the same recovery."""
    config = Config(model=MODEL, data=DATA, latency=budget, epochs=EPOCHS, seed=seed, formats=["litert"])
    data = load_data(DATA, seed=seed)
    dense = load_model(MODEL, weights_of(seed), num_classes=10, in_channels=1).eval()
    task = Classification(10, data.class_names)
    job = make_job(config, dense, data, task, LoggedProgress(), "benchmark")
    example = job.example_inputs[0]
    try:
        pruned, ratio, setting = torch_pruning.widest_within(
            dense, example, BUDGETS[budget], torch_pruning.SETTINGS[budget]
        )
    except ValueError as none:
        return {"accuracy": None, "note": str(none)}
    with tempfile.TemporaryDirectory() as folder:
        job.recovery(make_work(job, *job.groups(), Widths()), pruned)
        first = converters.convert(dense, (example,), "litert", Path(folder) / "dense.tflite")
        second = converters.convert(pruned, (example,), "litert", Path(folder) / "pruned.tflite")
        reference, candidate, measured = host.compare(first, second)
    _, _, test = loaders(data, job.batch_size, seed)
    assert test is not None
    return {
        "accuracy": task.evaluate(pruned, test)["accuracy"],
        "ratio": measured.median,
        "ratio_ci95": measured.ci95,
        "met": measured.ci95[1] <= BUDGETS[budget],
        "dense_ms": reference.latency.median,
        "ms": candidate.latency.median,
        "channel_ratio": ratio,
        "setting": setting.name,
    }


METHODS = {"edgeprune": ours, "torch-pruning": theirs}


def report() -> str:
    """The Markdown table of all rows so far."""
    rows = table.rows("fashion")
    body = []
    for budget in BUDGETS:
        for method in METHODS:
            chosen = [r for r in rows if r["budget"] == budget and r["method"] == method and r["accuracy"] is not None]
            if not chosen:
                continue
            names = {r.get("setting", torch_pruning.SETTINGS[budget][0].name) for r in chosen}
            name = "EdgePrune (beta-rank)" if method == "edgeprune" else "; or ".join(sorted(names))
            body.append(
                [
                    budget,
                    name,
                    table.spread([r["accuracy"] for r in chosen], 100),
                    table.spread([r["ratio"] for r in chosen], 100, 1),
                    f"{sum(r['met'] for r in chosen)} of {len(chosen)}",
                ]
            )
    dense = [r["dense"] for r in rows if r["method"] == "edgeprune" and r["budget"] == "50%"]
    about = f"{len(dense)} seeds. Dense: {table.spread(dense, 100)} %. " if dense else ""
    heading = ["budget", "method", "test accuracy, %, mean (range)", "measured latency, % of dense", "met"]
    return (
        f"ResNet-20 (16/32/64), 28x28, LiteRT, 1 thread, {EPOCHS} epochs of fine-tuning with distillation for both, "
        f"{about}Latency ratios are measured, A-B-B-A against the "
        "dense file; met means that the 95 % interval of the ratio lies within the budget.\n\n"
        + table.markdown(heading, body)
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    args = parser.parse_args()
    for seed in args.seeds:
        for budget in args.budgets:
            for method in args.methods:
                table.once(
                    "fashion",
                    {"seed": seed, "budget": budget, "method": method},
                    lambda method=method, seed=seed, budget=budget: METHODS[method](seed, budget),
                )
                table.write_section(Path("docs/benchmarks.md"), "Fashion-MNIST, ResNet-20", report())
    print(report())


if __name__ == "__main__":
    main()
