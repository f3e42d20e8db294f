"""FedTiny's masked form on clients with unlike data: selection by votes against what a server takes without asking.

    python -m benchmarks.federated [--seeds 0 1 2] [--densities 0.05 0.02] [--model M --data D] [--epochs 4]

The training images are shared out to 10 clients by a Dirichlet draw for each class (concentration 0.3), 5 a round. All
arms start from the same dense network and train equally long; the server takes ERK densities (the authors' server), or
candidates are voted on, with the server's batch-norm statistics (vanilla) or with everybody's (adaptive), and masks
change while clients train, or do not. Every row is kept in build/bench/federated.jsonl: a killed benchmark goes on.
The test set is read once a row. The table goes to docs/benchmarks.md.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.train_baseline import train
from edgeprune.config import Config
from edgeprune.graph import Widths
from edgeprune.pipeline.job import job_from_config
from edgeprune.pipeline.train import make_work
from edgeprune.progress import LoggedProgress
from edgeprune.schedule.fedtiny import MaskedFedTiny
from edgeprune.sources.batches import loaders

ARMS: dict[str, dict[str, Any]] = {
    "server's choice (ERK)": {"selection": "none"},
    "vanilla votes": {"selection": "vanilla"},
    "adaptive votes": {"selection": "adaptive"},
    "adaptive votes, masks fixed": {"selection": "adaptive", "every": 0},
    "server's choice (ERK), masks fixed": {"selection": "none", "every": 0},
}
CONCENTRATION = 0.3


def row(model: str, data: str, arm: str, density: float, seed: int, epochs: int) -> dict[str, Any]:
    """One federation of one seed."""
    weights = table.BUILD / f"federated-{model.partition(':')[2]}-{data.partition(':')[0]}-{seed}.safetensors"
    if not weights.exists():
        weights.parent.mkdir(parents=True, exist_ok=True)
        train(model, data, 10, 0.1, seed, weights)
    config = Config(model=model, weights=str(weights), data=data, recipe="l1", epochs=epochs, seed=seed)
    job = job_from_config(config, LoggedProgress())
    work = make_work(job, *job.groups(), Widths())
    form = MaskedFedTiny(density=density, concentration=CONCENTRATION, carrier="in-turn", **ARMS[arm])
    started = time.monotonic()
    made = form(work)
    _, _, test = loaders(job.data, job.batch_size, seed)
    assert test is not None
    return {
        "accuracy": job.task.evaluate(made.network, test)["accuracy"],
        "dense": job.task.evaluate(job.model, test)["accuracy"],
        "first": made.history[0].metrics["accuracy"],
        "candidate": made.facts["candidate"],
        "up": sum(made.facts["bytes_to_server"].values()),
        "down": sum(made.facts["bytes_to_clients"].values()),
        "rounds": made.facts["rounds"],
        "seconds": time.monotonic() - started,
    }


def report(rows: list[dict[str, Any]]) -> str:
    """One line an arm and density."""
    body = []
    for density in sorted({r["density"] for r in rows}, reverse=True):
        for arm in ARMS:
            each = [r for r in rows if (r["density"], r["arm"]) == (density, arm)]
            if each:
                body.append(
                    [f"{density:.0%}", arm, table.spread([r["first"] for r in each], 100, 1),
                     table.spread([r["accuracy"] for r in each], 100), ", ".join(r["candidate"] for r in each),
                     table.spread([r["up"] / 1e6 for r in each], 1, 2)]
                )  # fmt: skip
    dense = table.spread([r["dense"] for r in rows], 100)
    first = rows[0]
    heading = ["weights", "arm", "val after the first pass, %", "test, %", "candidates taken", "sent by clients, MB"]
    return (
        f"{first['model']} on {first['data']}, {first['rounds']} rounds of 5 of 10 clients, Dirichlet "
        f"{CONCENTRATION:g}, dense {dense} %. Means (ranges) over seeds.\n\n" + table.markdown(heading, body)
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--densities", type=float, nargs="+", default=[0.05, 0.02])
    parser.add_argument("--model", default="builtin:resnet8")
    parser.add_argument("--data", default="builtin:digits")
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    for seed in given.seeds:
        for density in given.densities:
            for arm in ARMS:
                key = {"model": given.model, "data": given.data, "arm": arm, "density": density, "seed": seed,
                       "epochs": given.epochs}  # fmt: skip
                table.once("federated", key, lambda a=arm, d=density, s=seed: row(
                    given.model, given.data, a, d, s, given.epochs))  # fmt: skip
    rows = [r for r in table.rows("federated") if (r["data"], r["epochs"]) == (given.data, given.epochs)]
    text = report(rows)
    table.write_section(Path("docs/benchmarks.md"), "Federated pruning", text)
    print(text)


if __name__ == "__main__":
    main()
