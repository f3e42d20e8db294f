"""The search against what else gives widths: same dense network, data, recovery and measured budget, several seeds.

python -m benchmarks.baselines [--data balanced long-tailed] [--methods EdgePrune ...] [--budgets 50%] [--seeds 0 1 2]

ResNet-20 on 20,000 pictures of Fashion-MNIST, and on its long-tailed cut (100:1). Every row is kept in
build/bench/baselines.jsonl with the predictions on test, so that differences get paired bootstrap intervals.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import converters
import edgeprune
import profilers.host as host
from benchmarks import command, netadapt, table, torch_pruning
from benchmarks.pictures import FASHION
from edgeprune.config import Config
from edgeprune.graph import Widths, find_groups, trace
from edgeprune.pipeline.choose import make_predictor
from edgeprune.pipeline.job import Job, make_job
from edgeprune.pipeline.train import make_work
from edgeprune.pipeline.trainings import save_network
from edgeprune.progress import LoggedProgress
from edgeprune.recover.finetune import finetune
from edgeprune.recover.scratch import reinitialise
from edgeprune.sources.batches import loaders
from edgeprune.sources.data import Data, load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification

MODEL = "builtin:resnet20"
DATA = {"balanced": (f"{Path(__file__).parent / 'pictures.py'}:twenty_thousand", None), "long-tailed": (FASHION, 100.0)}
EPOCHS, DENSE_EPOCHS, DENSE_LR = 5, 12, 0.2
BUDGETS = {"50%": 0.50, "33%": 0.33, "25%": 0.25}

Row = dict[str, Any]
ABOUT = (
    f"ResNet-20, Fashion-MNIST (long-tailed: 100:1), LiteRT, 1 thread, {EPOCHS} epochs of fine-tuning with "
    "distillation for all; means (ranges) over seeds; the gain is that of balanced accuracy on test, its interval a "
    "paired bootstrap over pictures and seeds.\n\n"
)

OURS = {
    "EdgePrune": (),
    "EdgePrune, measured curves": ("--recipe", "measured-curves"),
    "uniform widths": ("--allocate", "uniform"),
    "global L2": ("--allocate", "global", "--score", "l2"),
    "PreCropping's widths": ("--allocate", "precropping"),
    "EdgePrune, L1": ("--score", "l1"),
    "EdgePrune, Taylor": ("--score", "taylor"),
    "EdgePrune, random channels": ("--score", "random"),
    "EdgePrune's widths from scratch, equal epochs": ("--schedule", "at_init"),
}


def settings(data: str, seed: int, budget: str) -> dict[str, Any]:
    """What all methods have in common."""
    spec, tail = DATA[data]
    return {"model": MODEL, "data": spec, "long_tail": tail, "latency": budget, "epochs": EPOCHS, "seed": seed,
            "formats": ["litert"]}  # fmt: skip


def weights_of(data: str, seed: int) -> Path:
    """The dense network of a seed; trained now if it is not there."""
    path = table.BUILD / f"baselines-{data}-{seed}.safetensors"
    if not path.exists():
        spec, tail = DATA[data]
        loaded = load_data(spec, long_tail=tail, seed=seed)
        model = load_model(MODEL, num_classes=10, in_channels=1)
        reinitialise(model, seed)
        train, val, _ = loaders(loaded, seed=seed)
        finetune(model, train, val, Classification(10), epochs=DENSE_EPOCHS, lr=DENSE_LR, seed=seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_network(model, path)
    return path


def by_command(data: str, seed: int, budget: str, words: tuple[str, ...]) -> Row:
    """One `edgeprune optimize` as a user would run it."""
    spec, tail = DATA[data]
    folder = table.BUILD / "baselines-run"
    shutil.rmtree(folder, ignore_errors=True)
    told = command.optimize(
        folder, "--model", MODEL, "--weights", str(weights_of(data, seed)), "--data", spec,
        *(("--long-tail", str(tail)) if tail else ()), "--target", "host", "--latency", budget,
        "--epochs", str(EPOCHS), "--seed", str(seed), "--formats", "litert", *words,
    )  # fmt: skip
    if "error" in told:
        return {"note": told["error"]["message"]}
    latency = command.latency_of(told)
    return {
        **_quality(edgeprune.load(folder), load_data(spec, long_tail=tail, seed=seed)),
        "ratio": latency["ratio"],
        "ratio_ci95": latency["ratio_ci95"],
        "macs": told["pruned"]["macs"] / told["dense"]["macs"],
        "memory_mib": told["pruned"]["peak_memory_mib"],
        "search_s": told["search"]["seconds"],
        "candidates": told["search"]["candidates_measured"],
    }


def by_torch_pruning(setting: torch_pruning.Setting) -> Callable[[str, int, str], Row]:
    """Its ratio bisected against the clock."""

    def run(data: str, seed: int, budget: str) -> Row:
        job = _job(data, seed, budget)
        started = time.perf_counter()
        try:
            example = job.example_inputs[0]
            pruned, ratio, _ = torch_pruning.widest_within(job.model, example, BUDGETS[budget], [setting])
        except ValueError as none:
            return {"note": str(none)}
        return {"channel_ratio": ratio, "search_s": time.perf_counter() - started, **_recovered(job, pruned)}

    return run


def by_netadapt(data: str, seed: int, budget: str) -> Row:
    """Its loop; narrowed further, in steps of 3 % of the budget, until the clock agrees."""
    job = _job(data, seed, budget)
    coupling = find_groups(trace(job.model, job.example_inputs))
    multiple = job.config.multiples()[-1]
    with tempfile.TemporaryDirectory() as place:
        dense = converters.convert(job.model, job.example_inputs, "litert", Path(place) / "dense.tflite")
        target = job.targets.all[0]
        dense_ms = target.measure({"dense": dense}, memory=False)["dense"].latency.median
        predictor = make_predictor(job, target, coupling, dense_ms, multiple)
        predictor.aim(BUDGETS[budget] * dense_ms)
        seconds, tried, share = 0.0, 0, BUDGETS[budget]
        while True:
            try:
                found = netadapt.adapt(job, coupling, predictor, share * dense_ms, multiple)
            except ValueError as none:
                return {"note": str(none)}
            seconds, tried = seconds + found.seconds, tried + found.candidates
            file = converters.convert(found.network, job.example_inputs, "litert", Path(place) / "candidate.tflite")
            measured = host.compare(dense, file, rounds=3, memory=False)[2]
            predictor.observe(found.counts, measured.median * dense_ms)
            if measured.ci95[1] <= BUDGETS[budget]:
                break
            share *= 0.97
    return {"search_s": seconds, "candidates": tried, **_recovered(job, found.network)}


METHODS: dict[str, Callable[[str, int, str], Row]] = {
    **{name: lambda d, s, b, words=words: by_command(d, s, b, words) for name, words in OURS.items()},
    "NetAdapt-style loop": by_netadapt,
    **{
        setting.name: by_torch_pruning(setting)
        for setting in (
            torch_pruning.Setting("Torch-Pruning, uniform L2, multiples of 8", False, 8),
            torch_pruning.Setting("Torch-Pruning, uniform L2, multiples of 4", False, 4),
            torch_pruning.Setting("Torch-Pruning, global L2, multiples of 4", True, 4),
        )
    },
}


def _job(data: str, seed: int, budget: str) -> Job:
    spec, tail = DATA[data]
    loaded = load_data(spec, long_tail=tail, seed=seed)
    dense = load_model(MODEL, weights_of(data, seed), num_classes=10, in_channels=1).eval()
    task = Classification(10, loaded.class_names)
    return make_job(Config(**settings(data, seed, budget)), dense, loaded, task, LoggedProgress(), "benchmark")


def _recovered(job: Job, pruned: nn.Module) -> Row:
    """The network after the same recovery that ours has, measured against dense."""
    with tempfile.TemporaryDirectory() as place:
        job.recovery(make_work(job, *job.groups(), Widths()), pruned)
        files = [
            converters.convert(network, job.example_inputs, "litert", Path(place) / f"{name}.tflite")
            for name, network in (("dense", job.model), ("pruned", pruned))
        ]
        _, candidate, ratio = host.compare(*files)
    return {
        **_quality(pruned, job.data),
        "ratio": ratio.median,
        "ratio_ci95": ratio.ci95,
        "memory_mib": candidate.peak_memory_mib,
    }


def _quality(network: nn.Module, data: Data) -> Row:
    """Metrics on test, and the class that each picture was taken for, a digit each."""
    assert isinstance(data.test, TensorDataset)
    images, labels = data.test.tensors
    with torch.inference_mode():
        told = torch.cat([network(part).argmax(1) for part in images.split(500)])
    recalls = recall(told, labels)
    return {
        "accuracy": float((told == labels).float().mean()),
        "balanced": float(recalls.mean()),
        "worst": float(recalls.min()),
        "told": "".join(map(str, told.tolist())),
    }


def recall(told: Tensor, labels: Tensor) -> Tensor:
    """By class, (10,)."""
    hits = torch.bincount(labels[told == labels], minlength=10)
    return hits / torch.bincount(labels, minlength=10)


def gain(ours: list[Row], theirs: list[Row], labels: np.ndarray, draws: int = 1000) -> tuple[float, float, float]:
    """Balanced accuracy of ours less theirs, points, with the 95 % interval of a bootstrap over pictures and seeds."""
    generator = np.random.default_rng(0)
    hits = [[_hits(row, labels) for row in rows] for rows in (ours, theirs)]
    both = np.array(hits[0], dtype=float) - np.array(hits[1], dtype=float)  # (seeds, pictures)
    classes = [np.flatnonzero(labels == k) for k in range(10)]

    def balanced(seeds: np.ndarray, pictures: list[np.ndarray]) -> float:
        return float(np.mean([both[np.ix_(seeds, one)].mean() for one in pictures])) * 100

    drawn = [
        balanced(generator.integers(len(both), size=len(both)), [generator.choice(one, len(one)) for one in classes])
        for _ in range(draws)
    ]
    return balanced(np.arange(len(both)), classes), *np.percentile(drawn, [2.5, 97.5]).tolist()


def _hits(row: Row, labels: np.ndarray) -> np.ndarray:
    return np.array([int(c) for c in row["told"]]) == labels


def report() -> str:
    """One table a data set: mean and range over seeds, and our gain over each."""
    test = load_data(FASHION).test
    assert isinstance(test, TensorDataset)
    labels = test.tensors[1].numpy()
    parts = []
    for data in DATA:
        body = []
        for budget in BUDGETS:
            rows = [r for r in table.rows("baselines") if (r["data"], r["budget"]) == (data, budget)]
            ours = {r["seed"]: r for r in rows if r["method"] == "EdgePrune" and "told" in r}
            for method in METHODS:
                mine = {r["seed"]: r for r in rows if r["method"] == method and "told" in r}
                missed = sum(r["method"] == method and "told" not in r for r in rows)
                if not mine:
                    if missed:
                        body.append([budget, method, f"0 of {missed}", "not reached", "", "", "", ""])
                    continue
                seeds = sorted(set(mine) & set(ours))
                shown = ""
                if seeds and method != "EdgePrune":
                    value, low, high = gain([ours[s] for s in seeds], [mine[s] for s in seeds], labels)
                    shown = f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
                each = list(mine.values())
                body.append([
                    budget, method, f"{len(each)} of {len(each) + missed}",
                    table.spread([r["balanced"] for r in each], 100),
                    table.spread([r["worst"] for r in each], 100, 1),
                    table.spread([r["ratio"] for r in each], 100, 1),
                    f"{np.mean([r.get('search_s', 0.0) for r in each]):.0f}", shown,
                ])  # fmt: skip
        heading = ["budget", "method", "seeds that met", "balanced accuracy, %", "worst recall, %",
                   "latency, % of dense", "search, s", "EdgePrune's gain, points (95 %)"]  # fmt: skip
        if body:
            parts.append(f"### {data}\n\n" + table.markdown(heading, body))
    return ABOUT + "\n\n".join(parts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    for data in args.data:
        for seed in args.seeds:
            for budget in args.budgets:
                for method in args.methods:
                    key = {"data": data, "seed": seed, "budget": budget, "method": method}
                    table.once("baselines", key, lambda m=method, d=data, s=seed, b=budget: METHODS[m](d, s, b))
            table.write_section(Path("docs/benchmarks.md"), "Widths: the search and its rivals", report())
    print(report())


if __name__ == "__main__":
    main()
