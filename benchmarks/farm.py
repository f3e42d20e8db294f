"""A farm of emulated phones: work a minute against the number of phones, and what the farm itself costs.

python -m benchmarks.farm [--phones 1 2 4 8]

Emulated phones share this machine's cores: work that computes cannot grow with their number here. Work that waits, as
this machine does for a real phone's own processor, can: it shows what Ray leaves of the ideal.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
import torchvision

import converters
from benchmarks import table
from converters.artifact import Artifact, sha256
from converters.options import Options
from edgeprune.graph import find_groups, trace
from edgeprune.graph.generic import generic_copy
from edgeprune.pipeline.candidate_files import CandidateFiles
from profilers.farm.beside import How, Parcel, Told, time_candidate
from profilers.farm.cluster import Farm
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerKey
from tests.edgeprune.farm.lab import Host, head, wait_until
from tests.phone import Phone

WAIT_S, WAITS = 4.0, 4  # of each, so many a phone
EMPTY = 200
SENT, SENT_MIB = 16, 14
BUILT = 20
PAGE = Path("docs/many-machines.md")


def wait(how: How, seconds: float) -> Told[None]:
    """Stands for a candidate on a real phone, which is waited for."""
    del how
    time.sleep(seconds)
    return Told(None, (), 0)


def nothing(how: How, content: bytes = b"") -> Told[None]:
    """Work that takes no time."""
    del how, content
    return Told(None, (), 0)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def model(folder: Path, channels: int) -> Artifact:
    """A convolution."""
    path = folder / f"{channels}.tflite"
    path.write_bytes(layer_file(LayerKey("conv2d", channels, 64, (28, 28), (28, 28), (3, 3), padding=(1, 1))))
    return Artifact("litert", path, (), (), "float32", sha256(path), path.stat().st_size)


def row(farm: Farm, phones: int, folder: Path) -> dict[str, Any]:
    """Rates with so many phones."""
    kind, how = farm.phones()[0].kind, How()
    one, other = farm.send(Parcel.of(model(folder, 64))), Parcel.of(model(folder, 16))
    content = bytes(SENT_MIB << 20)
    farm.ask_all(kind, nothing, how, [()] * 4 * phones)  # every node has its worker
    waited = seconds(lambda: farm.ask_all(kind, wait, how, [(WAIT_S,)] * WAITS * phones))
    timed = seconds(lambda: farm.ask_all(kind, time_candidate, how, [(one, other, 0.3)] * 2 * phones))
    empty = seconds(lambda: farm.ask_all(kind, nothing, how, [()] * EMPTY))
    sent = seconds(lambda: farm.ask_all(kind, nothing, how, [(content,)] * SENT))
    return {
        "waits_a_minute": 60 * WAITS * phones / waited,
        "candidates_a_minute": 60 * 2 * phones / timed,
        "empty_ms": 1e3 * empty / EMPTY,
        "mib_a_second": SENT * SENT_MIB / sent,
    }


def add(stack: ExitStack, folder: Path, address: str, farm: Farm, phones: int) -> None:
    """Let a host join with as many phones as bring the farm to this number."""
    names = [f"P{number}" for number in range(len(farm.phones()), phones)]
    made = [stack.enter_context(Phone(folder / name, serial=name)) for name in names]
    host = Host(folder / f"host-{phones}", address, made)
    stack.callback(host.close)
    host.wait_for("joined", len(made))
    wait_until(lambda: len(farm.phones()) == phones, lambda: f"{len(farm.phones())} of {phones} phones")


def building() -> dict[str, Any]:
    """Seconds and MiB of a reshaped candidate of MobileNetV2."""
    network = generic_copy(torchvision.models.mobilenet_v2(weights=None).eval(), 0).float().eval()
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dense = converters.convert(network, (x,), "litert", folder / "dense.tflite")
        coupling = find_groups(trace(network, (x,)))
        files = CandidateFiles(network, (x,), coupling, dense, Options(), print)
        counts = {group: menu[len(menu) // 2] for group, menu in coupling.menu(8).items()}
        kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in counts}, counts)
        took = seconds(lambda: [files.make(counts, kept, folder / "c.tflite") for _ in range(BUILT)])
        return {"s": took / BUILT, "mib": (folder / "c.tflite").stat().st_size / 2**20}


def report() -> str:
    """The Markdown tables."""
    body = [
        [
            str(r["phones"]),
            f"{r['waits_a_minute']:.0f}",
            f"{r['waits_a_minute'] / (r['phones'] * 60 / WAIT_S):.0%}",
            f"{r['candidates_a_minute']:.1f}",
            f"{r['empty_ms']:.0f}",
            f"{r['mib_a_second']:.0f}",
        ]
        for r in sorted(table.rows("farm"), key=lambda r: r["phones"])
    ]
    heading = [
        "emulated phones", f"work that waits {WAIT_S:g} s, a minute", "of the ideal",
        "candidates that compute on this machine's cores, a minute", "a piece of empty work, ms", "files sent, MiB/s",
    ]  # fmt: skip
    (built,) = table.rows("farm-building")
    return (
        "Emulated: nothing here is a phone's time. Ray cluster, hosts, adb daemons and phones share one machine of two "
        "cores, which has other work, too.\n\n"
        + table.markdown(heading, body)
        + f"\n\nA reshaped MobileNetV2 of half its widths: {built['s']:.2f} s to make, {built['mib']:.1f} MiB."
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phones", nargs="+", type=int, default=[1, 2, 4, 8])
    args = parser.parse_args()
    torch.set_num_threads(1)
    table.once("farm-building", {"model": "mobilenet_v2"}, building)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        address = stack.enter_context(head())
        farm = stack.enter_context(closing(Farm(address)))
        for phones in sorted(args.phones):
            add(stack, folder, address, farm, phones)
            table.once("farm", {"phones": phones}, lambda phones=phones: row(farm, phones, folder))
    table.write_section(PAGE, "Throughput of a farm", report())
    print(report())


if __name__ == "__main__":
    main()
