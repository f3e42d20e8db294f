"""Two roads to LiteRT side by side: litert-torch, and ONNX with onnx2tf and TensorFlow (needs `make onnx2tf`).

python -m benchmarks.convert_roads

Five torchvision architectures with generic weights, at 128 pixels, images entering as (N, H, W, C) by both roads so
that no transpose is owed to the input. Error: largest difference from torch over four photographs, relative to the
largest output. Latency: one thread, a process a file, both files taking turns, median.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import converters
from benchmarks import table
from benchmarks.convert_zoo import SIDE, STATISTICS, first_line, pictures
from benchmarks.zoo import make
from converters.options import Options, Via
from converters.parity import parity
from edgeprune.graph.generic import calibrate
from profilers.host.runner import measure

PAGE = Path("docs/converters.md")
TITLE = "Two roads to LiteRT"
MODELS = ("mobilenet_v2", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "efficientnet_b0")
ROADS: tuple[Via, ...] = ("litert-torch", "onnx2tf")
HEADER = ("network", "road", "operations", "transposes", "bytes", "latency, ms", "error", "conversion, s")


def work(name: str) -> dict[str, Any]:
    """Both roads of one network."""
    inputs = pictures(SIDE)
    model = make(name)
    calibrate(model, (torch.cat([picture for (picture,) in inputs]),))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for road in ROADS:
            started = time.monotonic()
            try:
                path = Path(folder) / f"{road}.tflite"
                files[road] = converters.convert(model, inputs[0], "litert", path, Options(nhwc=True, via=road))
            except converters.ConverterError as error:
                found[road] = {"failed": first_line(error)}
                continue
            seconds = time.monotonic() - started
            inspection, result = converters.inspect(path), parity(files[road], model, inputs)
            found[road] = {
                "operations": sum(inspection.ops.values()), "transposes": inspection.transposes,
                "bytes": inspection.size_bytes, "error": result.max_rel_error, "seconds": seconds,
                "failed": result.reason,
            }  # fmt: skip
        for road, measurement in measure(files, rounds=5, memory=False).items():
            found[road]["latency"] = measurement.latency.median
    return found


def main() -> None:
    """Rows are kept in build/bench/convert_roads.jsonl, the table is a section of docs/converters.md."""
    body = []
    for name in MODELS:
        row = table.once("convert_roads", {"model": name, "statistics": STATISTICS}, lambda name=name: work(name))
        for road in ROADS:
            r = row[road]
            if r["failed"]:
                body.append((name, road, *[""] * 4, r["failed"], ""))
                continue
            body.append((
                name, road, str(r["operations"]), str(r["transposes"]), str(r["bytes"]), f"{r['latency']:.3f}",
                f"{r['error']:.0e}", f"{r['seconds']:.1f}",
            ))  # fmt: skip
    text = (
        f"{SIDE} pixels, generic weights, float32, (N, H, W, C) inputs; the second conversion of a network starts with "
        "torch imported, litert-torch's first includes its own imports.\n\n" + table.markdown(HEADER, body)
    )
    table.write_section(PAGE, TITLE, text)


if __name__ == "__main__":
    main()
