"""Breadth: every torchvision classifier of up to 50 M parameters, dense and pruned by half, to three formats.

python -m benchmarks.convert_zoo [--models PATTERN] [--minutes 60]

A row passes when the file is written, inspected and answers what torch answers (1e-4) on pictures that scikit-learn
ships, with generic weights referred to these pictures; a pruned file has to be smaller than the dense one too. One
process a model: a converter that crashes costs the rows of that model only. Rows are kept in
build/bench/convert_zoo.jsonl and not made twice; the table is a section of docs/converters.md. Ends with 1 if a row
fails whose cause is not known (`CAUSES`).
"""

import argparse
import fnmatch
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import table

PAGE = Path("docs/converters.md")
TITLE = "Breadth: torchvision's classifiers"
FORMATS = ("litert", "executorch", "coreml")
VARIANTS = ("dense", "half")
MOST_PARAMS = 50e6
MODEL_MINUTES = 25
SIDE = 128  # pixels; the architectures that insist on another side get theirs
STATISTICS = "all pictures"  # what the batch norms refer to; earlier rows, marked *, refer to one and are made again
CAUSES: dict[tuple[str, str, str], str] = {}  # (model, variant, format) -> why it does not pass, once found out
HEADER = ("model", "params (M)", "side", *(f"{fmt}, {variant}" for variant in VARIANTS for fmt in FORMATS), "seconds")


def names() -> list[str]:
    """The classifiers, smallest first."""
    import torchvision.models as zoo

    sizes = {n: min(w.meta["num_params"] for w in zoo.get_model_weights(n)) for n in zoo.list_models(module=zoo)}
    return sorted((n for n in sizes if sizes[n] <= MOST_PARAMS), key=lambda n: sizes[n])


def pictures(side: int) -> "list[tuple[Any, ...]]":
    """Four parts of the two photographs of scikit-learn, (1, 3, side, side), normalised as ImageNet's."""
    import torch
    from sklearn.datasets import load_sample_images

    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = []
    for image in load_sample_images().images:
        whole = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        for part in (whole[..., :420, :320], whole[..., :420, 320:]):
            scaled = torch.nn.functional.interpolate(part, (side, side), mode="bilinear", antialias=True)
            found.append(((scaled - mean) / std,))
    return found


def one(name: str) -> None:
    """All rows of a model, as JSON lines on stdout while they are made.

    The batch norms refer to all four pictures: with the statistics of one, the small differences between the places of
    that picture are scaled up a layer at a time, until torch's own float32 is 6e-1 from float64 in an EfficientNet-B4.
    """
    import torch

    from benchmarks.zoo import _SIZES, make, setting
    from edgeprune.api import prune
    from edgeprune.graph.generic import calibrate, generic_copy

    inputs = pictures(setting(_SIZES, name, (SIDE, 0))[0])
    batch = (torch.cat([picture for (picture,) in inputs]),)
    dense = make(name)
    calibrate(dense, batch)
    about = {"params": sum(p.numel() for p in dense.parameters()), "side": inputs[0][0].shape[-1]}
    networks = {"dense": dense}
    try:
        half = prune(dense, inputs[0], ratio=0.5, score="l1")[0]
        networks["half"] = generic_copy(half, 0).float()  # drawn anew for the narrower fan-in: a signal that has faded
        calibrate(networks["half"], batch)  # proves nothing
    except Exception as error:  # the table tells it
        for fmt in FORMATS:
            tell({"model": name, "variant": "half", "format": fmt, **about, "failed": f"pruning: {first_line(error)}"})
    inspections: dict[str, Any] = {}
    for variant, network in networks.items():
        for fmt in FORMATS:
            started = time.monotonic()
            try:
                outcome = convert_one(network, inputs, fmt, inspections, variant)
            except Exception as error:  # one row
                outcome = {"failed": first_line(error)}
            seconds = round(time.monotonic() - started, 1)
            tell({"model": name, "variant": variant, "format": fmt, **about, **outcome, "seconds": seconds})


def convert_one(network: Any, inputs: Any, fmt: Any, inspections: dict[str, Any], variant: str) -> dict[str, Any]:
    """The figures of one row. Raises what the converter raises."""
    import converters
    from converters.artifact import SUFFIXES
    from converters.parity import parity

    with tempfile.TemporaryDirectory() as folder:
        artifact = converters.convert(network, inputs[0], fmt, Path(folder) / f"net{SUFFIXES[fmt]}")
        found = converters.inspect(artifact.path, fmt)
        inspections[variant + fmt] = found
        result = parity(artifact, network, inputs)
    reasons = [] if result.passed else [result.reason]
    if variant == "half" and f"dense{fmt}" in inspections:
        reasons += converters.check_smaller(inspections[f"dense{fmt}"], found)
    return {
        "failed": "; ".join(reasons), "error": result.max_rel_error, "bytes": artifact.size_bytes,
        "transposes": found.transposes, "delegated": found.delegated_share,
    }  # fmt: skip


def tell(row: dict[str, Any]) -> None:
    """A row to the parent."""
    print(f"ROW {json.dumps(row)}", flush=True)


def first_line(error: Exception) -> str:
    """Class and first line of a message."""
    text = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {text.splitlines()[0]}"[:300]


def run(name: str) -> None:
    """A model in a process of its own; rows it did not reach are failures with the reason."""
    command = [sys.executable, "-m", "benchmarks.convert_zoo", "--one", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MODEL_MINUTES, check=False)
        last = (done.stderr.strip() or "nothing on stderr").splitlines()[-1][:300]
        output, why = done.stdout, f"the process ended with code {done.returncode}: {last}"
    except subprocess.TimeoutExpired as late:
        output, why = (late.stdout or b"").decode(), f"not done after {MODEL_MINUTES} minutes"
    found = [json.loads(line.removeprefix("ROW ")) for line in output.splitlines() if line.startswith("ROW ")]
    for variant in VARIANTS:
        for fmt in FORMATS:
            key = {"model": name, "variant": variant, "format": fmt}
            kept = {**key, "statistics": STATISTICS}
            rows = [row for row in found if key.items() <= row.items()]
            table.once("convert_zoo", kept, lambda rows=rows, why=why: rows[0] if rows else {"failed": why})


def write_page() -> None:
    """The table of the rows made so far, with what failed and why."""
    rows = {(r["model"], r["variant"], r["format"]): r for r in table.rows("convert_zoo")}
    models = list(dict.fromkeys(model for model, _, _ in rows))
    body, failures = [], []
    for model in models:
        own = {key[1:]: row for key, row in rows.items() if key[0] == model}
        cells = []
        for variant in VARIANTS:
            for fmt in FORMATS:
                row = own.get((variant, fmt))
                if row is None:
                    cells.append("not run")
                    continue
                cells.append("no" if row["failed"] else f"{row['error']:.0e}")
                if row["failed"]:
                    cause = CAUSES.get((model, variant, fmt), "cause not known")
                    failures.append(f"- {model}, {variant}, {fmt}: {row['failed']}; {cause}.")
        first = next(iter(own.values()))
        seconds = sum(row.get("seconds", 0.0) for row in own.values())
        params = f"{first['params'] / 1e6:.1f}" if "params" in first else ""
        mark = "" if all(row["statistics"] == STATISTICS for row in own.values()) else " *"
        body.append((model + mark, params, str(first.get("side", "")), *cells, f"{seconds:.0f}"))
    passed = sum(not row["failed"] for row in rows.values())
    text = (
        f"{passed} of {len(rows)} files pass, of {len(models)} architectures ({len(names())} are in reach). Cells: the "
        "largest difference from torch, relative to the largest output, on four photographs; Core ML by the reference "
        "interpreter. Batch norms refer to all four pictures; * rows were made earlier, with the statistics of one.\n\n"
        f"{table.markdown(HEADER, body)}\n\n"
    )
    text += "What does not pass:\n\n" + "\n".join(failures) if failures else "All that ran pass."
    table.write_section(PAGE, TITLE, text)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="pattern of names")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no model after this")
    parser.add_argument("--one", help="one model in this process; for the program itself")
    args = parser.parse_args()
    if args.one:
        one(args.one)
        return
    end = time.monotonic() + 60 * args.minutes
    rows = table.rows("convert_zoo")
    for name in names():
        own = [row for row in rows if row["model"] == name and row["statistics"] == STATISTICS]
        done = len(own) == len(VARIANTS) * len(FORMATS)
        if fnmatch.fnmatch(name, args.models) and not done and time.monotonic() < end:
            run(name)
    write_page()
    failed = {(r["model"], r["variant"], r["format"]) for r in table.rows("convert_zoo") if r["failed"]}
    sys.exit(1 if failed - set(CAUSES) else 0)


if __name__ == "__main__":
    main()
