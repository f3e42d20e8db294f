"""`kill -9` at random moments of `edgeprune optimize`, then --resume, until it is done; then another run.

python -m benchmarks.kills [--kills 30] [--seed 0]

ResNet-8 on digits, 50 % of the MACs (a latency budget would let noise choose other widths). Every run that survived is
held against one that nobody killed: same widths, same weights, same files; no temporary file is left, in the run or
where the system keeps them; no measurement is made twice that was kept.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.train_baseline import train

WORDS = (
    "--model",
    "builtin:resnet8",
    "--data",
    "builtin:digits",
    "--macs",
    "50%",
    "--epochs",
    "2",
    "--formats",
    "litert",
)


def start(weights: Path, folder: Path, temporary: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own; --resume where there is a run."""
    going_on = ("--resume",) if folder.exists() else ()
    command = [sys.executable, "-m", "edgeprune", "optimize", *WORDS, "--weights", str(weights), *going_on]
    return subprocess.Popen(
        [*command, "-o", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip


def found(folder: Path) -> dict[str, Any]:
    """What must not depend on kills: widths and the hashes of weights and files."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {
        "widths": json.loads((folder / "widths.json").read_text(encoding="utf-8")),
        "files": {entry["path"]: entry["sha256"] for entry in result["artifacts"]},
        "val": result["pruned"]["val_metrics"],
    }


def leftovers(folder: Path, temporary: Path) -> list[str]:
    """Temporary files of the run, and those beside it."""
    inside = [p for p in folder.rglob("*") if p.name.endswith(".partial") or p.name in (".scratch", ".lock")]
    return [str(p) for p in (*inside, *temporary.iterdir())]


def twice(folder: Path) -> list[str]:
    """Labels that were measured and kept more than once."""
    lines = (folder / "measurements.jsonl").read_text(encoding="utf-8").splitlines()
    counts = Counter(json.loads(line)["label"] for line in lines)
    return [label for label, count in counts.items() if count > 1]


def survive(kills: int, seed: int) -> dict[str, Any]:
    """Kill until `kills` are reached and the last run is done."""
    chance, runs, killed = random.Random(seed), 0, 0
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edgeprune-kills-") as name:
        place, temporary = Path(name), Path(name) / "tmp"
        temporary.mkdir()
        weights = place / "digits.safetensors"
        train("builtin:resnet8", "builtin:digits", 10, 0.1, 0, weights)
        began = time.monotonic()
        start(weights, place / "calm", temporary).wait()
        seconds = time.monotonic() - began
        calm = found(place / "calm")
        while killed < kills:
            folder, runs = place / f"run-{runs}", runs + 1
            while not (folder / "result.json").exists():
                process = start(weights, folder, temporary)
                try:
                    code = process.wait(chance.uniform(0, seconds) if killed < kills else None)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    killed += 1
                    continue
                if code != 0:
                    problems.append(f"run {runs} ended with exit code {code}")
                    break
            else:
                if found(folder) != calm:
                    problems.append(f"run {runs} is not the one that nobody killed")
                problems += [f"run {runs} left {file}" for file in leftovers(folder, temporary)]
                problems += [f"run {runs} measured {label} twice" for label in twice(folder)]
    return {"kills": killed, "runs": runs, "problems": problems, "calm_s": seconds}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    row = table.once("kills", {"asked": args.kills, "seed": args.seed}, lambda: survive(args.kills, args.seed))
    verdict = "; ".join(row["problems"]) or "every run ended as the one that nobody killed, and left nothing behind"
    text = f"{row['kills']} times `kill -9` at random moments, over {row['runs']} runs: {verdict}."
    table.write_section(Path("docs/benchmarks.md"), "Kills survived", text)
    print(text)


if __name__ == "__main__":
    main()
