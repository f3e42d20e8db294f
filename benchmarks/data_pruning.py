"""Half of the images with distillation against all images without, on Fashion-MNIST, 3 seeds, one slim network a seed.

    python -m benchmarks.data_pruning [--seeds 0 1 2] [--model builtin:resnet8] [--epochs 3] [--alphas 0.5 0.9]

ResNet-8 is trained, pruned by L1 to half of its MACs (uniform widths), and recovered in several ways from the same slim
network, all with the same schedule. "epochs" passes as often over fewer images, "iterations" takes as many steps.
Every row is kept in build/bench/data-pruning.jsonl: a killed benchmark goes on. The test set is read once a row.
"""

import argparse
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from benchmarks.train_baseline import train
from edgeprune.files import write_text
from edgeprune.pipeline.prune import Goal, Ranking, prune_network
from edgeprune.quantity import parse_limit
from edgeprune.recover import batchnorm
from edgeprune.recover.finetune import finetune
from edgeprune.recover.kept_data import subset
from edgeprune.sources.batches import Loader, calibration_batches, default_batch_size, loaders
from edgeprune.sources.data import labels_of, load_data
from edgeprune.sources.models import load_model
from edgeprune.sources.subset import keep
from edgeprune.task import Classification

DATA, ROWS = "fashion-mnist:/usr/share/datasets/fashion-mnist", Path("build/bench/data-pruning.jsonl")
DENSE_EPOCHS, DENSE_LR, LR, TAU, BN_IMAGES = 4, 0.2, 0.05, 4.0, 2000

Arm = tuple[float, float, str]  # kept fraction, alpha, equal epochs or iterations


def arms(alphas: list[float]) -> Iterator[Arm]:
    """All images with cross-entropy alone; half of them, with and without distillation; all of them with it."""
    yield 1.0, 0.0, "epochs"
    yield 0.5, 0.0, "epochs"
    for alpha in alphas:
        yield 0.5, alpha, "epochs"
        yield 0.5, alpha, "iterations"
    yield 1.0, alphas[-1], "epochs"


def run(model: str, seed: int, arm: Arm, epochs: int) -> dict[str, Any]:
    """One recovery of one seed's slim network."""
    fraction, alpha, equal = arm
    data = load_data(DATA, seed=seed)
    weights = Path(f"build/fashion/{model.partition(':')[2]}-short-{seed}.safetensors")
    if not weights.exists():
        weights.parent.mkdir(parents=True, exist_ok=True)
        train(model, DATA, DENSE_EPOCHS, DENSE_LR, seed, weights)
    dense = load_model(model, weights, num_classes=10, in_channels=1).eval()
    goal = Goal(macs=parse_limit("macs", "50%"))
    slim = prune_network(dense, (torch.zeros(1, *data.input_shape),), goal, Ranking("l1")).network
    batch = default_batch_size(data)
    batchnorm.reestimate(slim, calibration_batches(data, BN_IMAGES, batch, seed))
    labels = labels_of(data.train)
    assert labels is not None
    kept = keep(labels, fraction, seed=seed, floor=10)
    loader = Loader(
        subset(data.train, kept), batch, shuffle=True, augmentation=data.augmentation, drop_last=True, seed=seed
    )
    _, val, test = loaders(data, batch, seed)
    assert test is not None
    task = Classification(10, data.class_names)
    before = task.evaluate(copy.deepcopy(slim), val)["accuracy"]
    trained = epochs if equal == "epochs" else round(epochs / fraction)
    result = finetune(
        slim,
        loader,
        val,
        task,
        epochs=trained,
        lr=LR,
        seed=seed,
        teacher=dense if alpha else None,
        alpha=alpha,
        tau=TAU,
    )
    return {
        "model": model, "seed": seed, "fraction": fraction, "alpha": alpha, "equal": equal, "epochs": trained,
        "images": len(kept), "val_before": before, "val": result.best, "seconds": result.seconds,
        "accuracy": task.evaluate(slim, test)["accuracy"], "dense": task.evaluate(dense, test)["accuracy"],
    }  # fmt: skip


def report(rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds, as Markdown."""
    found: dict[tuple[float, float, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["fraction"], row["alpha"], row["equal"]), []).append(row)
    lines = [
        "| images | alpha | epochs | test accuracy (%) | seeds | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (fraction, alpha, _), each in sorted(found.items()):
        accuracy = [100 * row["accuracy"] for row in each]
        spread = f" ± {stdev(accuracy):.2f}" if len(each) > 1 else ""
        lines.append(
            f"| {fraction:.0%} | {alpha:g} | {each[0]['epochs']} | {mean(accuracy):.2f}{spread} | {len(each)} "
            f"| {mean(row['seconds'] for row in each):.0f} |"
        )
    dense = {row["seed"]: 100 * row["dense"] for row in rows}
    return "\n".join([*lines, "", f"Dense: {mean(dense.values()):.2f} % over {len(dense)} seeds."])


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", default="builtin:resnet8")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.5, 0.9])
    given = parser.parse_args()
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    for seed in given.seeds:
        for arm in arms(given.alphas):
            key = (given.model, seed, *arm)
            if any((r["model"], r["seed"], r["fraction"], r["alpha"], r["equal"]) == key for r in rows):
                continue
            rows.append(run(given.model, seed, arm, given.epochs))
            print(rows[-1], flush=True)
            ROWS.parent.mkdir(parents=True, exist_ok=True)
            write_text(ROWS, "".join(json.dumps(row) + "\n" for row in rows))
    print(report([row for row in rows if row["model"] == given.model]))


if __name__ == "__main__":
    main()
