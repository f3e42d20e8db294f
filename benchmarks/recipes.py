"""Every recipe on Fashion-MNIST, 3 seeds, beside L1 with fine-tuning and training from scratch, at equal latency.

python -m benchmarks.recipes [--seeds 0 1 2] [--recipes gradual granet] [--latency 50%] [--epochs 6] [--quick]

Every row is kept in build/bench/recipes.jsonl: a killed benchmark goes on. The table goes to docs/benchmarks.md, and
what it says of each recipe against L1 into the recipe's YAML, for `edgeprune methods`: recipes that lose stay.
Recipes train equally long (`--epochs` in all, those that prune while they train included); the controls are trained
from random weights for as many epochs as the dense network, and for as much compute. `--quick`: ResNet-8 on
scikit-learn's digits, to try the script; its rows are kept apart and no table is written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import command, fashion, table
from benchmarks.train_baseline import train
from edgeprune.files import write_text
from edgeprune.recipe import load_recipe, recipe_names

CONTROL = "l1"
QUICK = ("builtin:resnet8", "builtin:digits", 10, 0.1)
FULL = (fashion.MODEL, fashion.DATA, fashion.DENSE_EPOCHS, fashion.DENSE_LR)


def row(recipe: str, seed: int, latency: str, epochs: int, quick: bool) -> dict[str, Any]:
    """One `edgeprune optimize` as a user would run it; with the controls for the L1 recipe."""
    model, data, dense_epochs, lr = QUICK if quick else FULL
    weights = table.BUILD / f"digits-{seed}.safetensors" if quick else fashion.weights_of(seed)
    if not weights.exists():
        weights.parent.mkdir(parents=True, exist_ok=True)
        train(model, data, dense_epochs, lr, seed, weights)
    folder = table.BUILD / f"recipes-{'quick-' * quick}{recipe}-{seed}"
    training = load_recipe(recipe).recover
    words = ["--model", model, "--weights", str(weights), "--data", data, "--latency", latency, "--recipe", recipe,
             "--seed", str(seed), "--formats", "litert"]  # fmt: skip
    words += ["--dense-epochs", str(dense_epochs), "--control", "scratch"] if recipe == CONTROL else []
    if training.name == "scratch":
        epochs = dense_epochs
    words += ["--epochs", str(epochs)] if training.epochs else []
    result = command.optimize(folder, *words)
    if "error" in result:
        return {"accuracy": None, "note": result["error"]["message"]}
    recovery = result["recovery"] or {"before": {}, "after_bn": {}, "seconds": 0.0, "epochs": []}
    return {
        "dense": result["dense"]["accuracy"],
        "before": recovery["before"].get("accuracy"),
        "after_bn": recovery["after_bn"].get("accuracy"),
        "accuracy": result["pruned"]["accuracy"],
        "ratio": command.latency_of(result)["ratio"],
        "met": result["met"],
        "train_s": recovery["seconds"],
        "epochs": len(recovery["epochs"]),
        "controls": {c["name"]: [c["metrics"]["accuracy"], c["epochs"], c["seconds"]] for c in result["controls"]},
    }


def report(name: str, latency: str, epochs: int) -> str:
    """The Markdown table of all rows so far."""
    rows = [
        r for r in table.rows(name) if r["accuracy"] is not None and (r["latency"], r["budget"]) == (latency, epochs)
    ]
    body = []
    for recipe in recipe_names():
        chosen = [r for r in rows if r["recipe"] == recipe]
        if not chosen:
            continue
        body.append(
            [
                recipe,
                table.spread([r["before"] for r in chosen], 100, 1),
                table.spread([r["after_bn"] for r in chosen], 100, 1),
                table.spread([r["accuracy"] for r in chosen], 100),
                table.spread([r["ratio"] for r in chosen], 100, 1),
                f"{sum(r['met'] for r in chosen)} of {len(chosen)}",
                table.spread([r["train_s"] for r in chosen], 1, 0),
            ]
        )
        for control in chosen[0]["controls"]:
            each = [r["controls"][control] for r in chosen if control in r["controls"]]
            body.append(
                [f"control {control}, widths of {recipe}, {each[0][1]} epochs", "", "",
                 table.spread([x[0] for x in each], 100), "the same", "", table.spread([x[2] for x in each], 1, 0)]
            )  # fmt: skip
    heading = ["recipe", "val, removed, %", "val, before training, %", "test, %", "measured latency, % of dense", "met",
               "training, s"]  # fmt: skip
    return (
        f"Latency budget {latency}, LiteRT, 1 thread, measured A-B-B-A against the dense file; {epochs} epochs in all. "
        "Numbers are means (ranges) over seeds.\n\n" + table.markdown(heading, body)
    )


def verdicts(rows: list[dict[str, Any]], latency: str, epochs: int) -> dict[str, str]:
    """Of every recipe but the control, what its seeds say against L1 with fine-tuning: the same seeds, pair by pair.

    "wins" or "loses" only where every seed says so, and there are three or more.
    """
    found: dict[str, dict[int, float]] = {}
    for r in rows:
        if r["accuracy"] is not None and (r["latency"], r["budget"]) == (latency, epochs):
            found.setdefault(r["recipe"], {})[r["seed"]] = 100 * r["accuracy"]
    control, told = found.pop(CONTROL, {}), {}
    for recipe, own in found.items():
        gaps = [own[seed] - control[seed] for seed in sorted(own.keys() & control.keys())]
        if not gaps:
            continue
        clear = len(gaps) > 2 and (min(gaps) > 0 or max(gaps) < 0)
        word = ("wins" if gaps[0] > 0 else "loses") if clear else "no clear difference"
        told[recipe] = (
            f"{word}: {sum(gaps) / len(gaps):+.2f} points ({min(gaps):+.2f} to {max(gaps):+.2f}), "
            f"Fashion-MNIST, latency {latency}, {len(gaps)} seeds"
        )
    return told


def set_verdict(file: Path, verdict: str) -> None:
    """Write the recipe's line `verdict: ...`; the rest of the file stays."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("verdict:")]
    write_text(file, "\n".join([*lines, f"verdict: {json.dumps(verdict)}"]) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=list(recipe_names()), choices=recipe_names())
    parser.add_argument("--latency", default="50%")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    name = "recipes-quick" if args.quick else "recipes"
    for seed in args.seeds:
        for recipe in args.recipes:
            key = {"recipe": recipe, "seed": seed, "latency": args.latency, "budget": args.epochs}
            table.once(name, key, lambda r=recipe, s=seed: row(r, s, args.latency, args.epochs, args.quick))
    text = report(name, args.latency, args.epochs)
    if not args.quick:
        table.write_section(Path("docs/benchmarks.md"), "Recipes", text)
        for recipe, verdict in verdicts(table.rows(name), args.latency, args.epochs).items():
            set_verdict(Path("edgeprune/recipes") / f"{recipe}.yaml", verdict)
    print(text)


if __name__ == "__main__":
    main()
