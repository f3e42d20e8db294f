"""The demo, 5 seeds: ResNet-8 on scikit-learn's digits, half the measured latency, three formats out.

python -m benchmarks.digits [--seeds 0 1 2 3 4]
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from benchmarks import command, table
from benchmarks.train_baseline import train

MODEL, DATA = "builtin:resnet8", "builtin:digits"


def demo(seed: int) -> dict[str, Any]:
    """Train, then one `edgeprune optimize` as `make demo` runs it."""
    weights, folder = table.BUILD / f"digits-{seed}.safetensors", table.BUILD / f"digits-{seed}"
    if not weights.exists():
        weights.parent.mkdir(parents=True, exist_ok=True)
        train(MODEL, DATA, 15, 0.1, seed, weights)
    shutil.rmtree(folder, ignore_errors=True)
    words = ["--model", MODEL, "--weights", str(weights), "--data", DATA, "--target", "host", "--latency", "50%"]
    result = command.optimize(folder, *words, "--seed", str(seed))
    if "error" in result:
        raise RuntimeError(result["error"]["message"])
    return {
        "dense": result["dense"]["accuracy"],
        "accuracy": result["pruned"]["accuracy"],
        "ratio": command.latency_of(result)["ratio"],
        "met": result["met"],
        "formats": sorted(a["format"] for a in result["artifacts"] if a["network"] == "pruned"),
        "seconds": result["seconds"],
    }


def report() -> str:
    """The Markdown table."""
    rows = table.rows("digits")
    body = [
        [str(r["seed"]), f"{r['dense']:.2%}", f"{r['accuracy']:.2%}", f"{r['ratio']:.1%}", "yes" if r["met"] else "no",
         ", ".join(r["formats"]), f"{r['seconds']:.0f}"]
        for r in rows
    ]  # fmt: skip
    heading = ["seed", "dense", "pruned", "latency, % of dense", "met", "files", "run, s"]
    return (
        "ResNet-8, latency budget 50 %, LiteRT, 1 thread, 10 epochs, batches of 32 (1295 training images).\n\n"
        + table.markdown(heading, body)
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    for seed in parser.parse_args().seeds:
        table.once("digits", {"seed": seed}, lambda seed=seed: demo(seed))
    table.write_section(Path("docs/benchmarks.md"), "Digits demo", report())
    print(report())


if __name__ == "__main__":
    main()
