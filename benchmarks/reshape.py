"""Candidates without conversion: do reshaped files take the time of truly converted ones, and how many a minute?

python -m benchmarks.reshape [--models mobilenet_v2 ...] [--widths 3]
"""

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision

import converters
from benchmarks import table
from converters.artifact import Artifact
from converters.options import Options
from edgeprune.graph import Coupling, find_groups, prune, trace
from edgeprune.graph.generic import generic_copy
from edgeprune.pipeline.candidate_files import CandidateFiles
from profilers.host import compare
from profilers.host.bench import HostBench

MODELS = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0", "efficientnet_b0")
MINUTE = 20.0  # seconds that the rate is taken over


def row(name: str, widths: int, seed: int) -> dict[str, Any]:
    """Paired ratios reshaped / converted at random widths, and the rate of measured candidates."""
    model = generic_copy(torchvision.models.get_model(name, weights=None).eval(), 0).float().eval()
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dense = converters.convert(model, (x,), "litert", folder / "dense.tflite")
        coupling = find_groups(trace(model, (x,)))
        files = CandidateFiles(model, (x,), coupling, dense, Options(), print)
        menus = coupling.menu(8)
        chosen = random.Random(seed)

        def reshape(counts: dict[str, int], path: Path) -> Artifact:
            made = files.make(counts, {}, path)
            assert files.reshapes, f"{name} is converted, not reshaped"
            return made

        ratios, converting = [], 0.0
        for number in range(widths):
            counts = {group: chosen.choice(menu) for group, menu in menus.items()}
            started = time.monotonic()
            converted = _convert(model, coupling, counts, x, folder / f"{number}.tflite")
            converting += time.monotonic() - started
            ratios.append(compare(converted, reshape(counts, folder / f"{number}-reshaped.tflite"))[2].median)
        count, started = 0, time.monotonic()
        with HostBench(dense) as bench:
            while time.monotonic() - started < MINUTE:
                counts = {group: chosen.choice(menu) for group, menu in menus.items()}
                bench.ratio(reshape(counts, folder / "candidate.tflite"), seconds=0.5)
                count += 1
        took = time.monotonic() - started
    return {"ratios": ratios, "a_minute": 60 * count / took, "convert_s": converting / widths}


def _convert(
    model: torch.nn.Module, coupling: Coupling, counts: dict[str, int], x: torch.Tensor, path: Path
) -> Artifact:
    kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in counts}, counts)
    return converters.convert(prune(model, coupling, kept)[0], (x,), "litert", path)


def report() -> str:
    """The Markdown table."""
    body = [
        [
            r["model"],
            ", ".join(f"{ratio:.3f}" for ratio in r["ratios"]),
            f"{r['a_minute']:.0f}",
            f"{r['convert_s']:.0f}",
        ]
        for r in table.rows("reshape")
    ]
    heading = ["network, 224 pixels", "time of reshaped / converted", "candidates a minute", "one conversion, s"]
    text = (
        "LiteRT, 1 thread, random widths; both files paired in A-B-B-A rounds; candidates measured for 0.5 s each.\n\n"
    )
    return text + table.markdown(heading, body)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--widths", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.models:
        table.once("reshape", {"model": name}, lambda name=name: row(name, args.widths, 0))
        table.write_section(Path("docs/benchmarks.md"), "Candidates without conversion", report())
    print(report())


if __name__ == "__main__":
    main()
