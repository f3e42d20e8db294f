"""Measure Core ML packages on this Mac, or on an iPhone attached to it.

Needs macOS, Python 3.11 or newer and `pip install coremltools`. Beside this file lie the packages.

    python3 bench_ios.py                                # on this Mac
    python3 bench_ios.py --device iphone --team TEAM    # on the attached iPhone: Xcode, developer mode, your team's id

Then, where EdgePrune is:

    edgeprune measurements import measurements.jsonl

Every model is loaded and warmed up, then they take turns A-B-B-A until the median of each is known within 2 %; every
sample is kept. Core ML chooses threads and, with --units ALL, the processors.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from converters.artifact import sha256
from profilers.measurement import Device, Measurement
from profilers.protocol import FULL, QUICK, Protocol
from profilers.statistics import latency, stability_flags

FORMAT = "edgeprune-measurements/1"
UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")
ROUNDS = 5
SHARED = "one process for all models"


class Lane:
    """One package and its samples, ms. `benchmarker` is coremltools' MLModelBenchmarker."""

    def __init__(self, package: Path, benchmarker: Any, inputs: dict[str, Any]) -> None:
        self.package, self.samples = package, list[float]()
        self.load_ms = self.first_ms = 0.0
        self._benchmarker, self._inputs, self._burst = benchmarker, inputs, 1

    async def prepare(self, protocol: Protocol) -> None:
        """Load, first run, warm-up."""
        (self.load_ms,) = (await self._benchmarker.benchmark_load(iterations=1)).samples
        (self.first_ms,) = await self._predict(1)
        warm: list[float] = []
        while (len(warm) < protocol.warmup_runs or sum(warm) < protocol.warmup_seconds * 1e3) and sum(
            warm
        ) < protocol.warmup_max_seconds * 1e3:
            warm += await self._predict(max(1, protocol.warmup_runs))
        self._burst = protocol.burst(sum(warm) / len(warm) if warm else self.first_ms)

    async def turn(self) -> None:
        """One burst."""
        self.samples += await self._predict(self._burst)

    async def _predict(self, runs: int) -> list[float]:
        return list((await self._benchmarker.benchmark_predict(inputs=self._inputs, iterations=runs)).samples)


async def measure(lanes: Sequence[Lane], device: Device, protocol: Protocol = FULL) -> list[Measurement]:
    """All lanes in turns A-B-B-A, at least five rounds (one if quick) and until `protocol` is done with each."""
    for lane in lanes:
        await lane.prepare(protocol)
    before, rounds, least = conditions(device), 0, 1 if protocol is QUICK else ROUNDS
    while rounds < least or not all(protocol.done(lane.samples) for lane in lanes):
        for lane in (*lanes, *reversed(lanes)):
            await lane.turn()
        rounds += 1
    after, shared = conditions(device), (SHARED,) if len(lanes) > 1 else ()
    return [
        Measurement(
            artifact_sha256=sha256(lane.package),
            latency=latency(lane.samples),
            samples_ms=tuple(lane.samples),
            load_ms=lane.load_ms,
            first_ms=lane.first_ms,
            peak_memory_mib=None,
            device=device,
            conditions_before=before,
            conditions_after=after,
            flags=(*stability_flags(lane.samples), *shared),
        )
        for lane in lanes
    ]


def conditions(device: Device) -> dict[str, Any]:
    """Time, who is measured, and its load: unknown of an attached device."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    load = None if device.serial_sha256 else os.getloadavg()[0]
    return {"time": when, "device": device.name, "load_1min": load}


def inputs_of(description: Any, seed: int = 0) -> dict[str, Any]:
    """The fixed input of a model by name: standard normal floats, integers in [0, 2), pictures of random pixels."""
    import numpy

    rng, values = numpy.random.default_rng(seed), dict[str, Any]()
    for feature in description.input:
        kind = feature.type.WhichOneof("Type")
        if kind == "imageType":
            from PIL import Image

            image = feature.type.imageType
            grey = image.colorSpace == image.GRAYSCALE
            shape = (image.height, image.width) if grey else (image.height, image.width, 3)
            values[feature.name] = Image.fromarray(rng.integers(0, 256, shape, numpy.uint8))
        elif kind == "multiArrayType":
            array = feature.type.multiArrayType
            whole = array.dataType == array.INT32
            value = rng.integers(0, 2, tuple(array.shape)) if whole else rng.standard_normal(tuple(array.shape))
            values[feature.name] = value.astype(numpy.int32 if whole else numpy.float32)
        else:
            raise SystemExit(f"input {feature.name} is of kind {kind}: only arrays and pictures can be made up")
    return values


def this_mac(units: str) -> Device:
    """This Mac, as the device of a measurement. Threads are 0: Core ML chooses them."""
    memory = _sysctl("hw.memsize")
    return Device(
        name=_sysctl("hw.model") or platform.machine(),
        soc=_sysctl("machdep.cpu.brand_string"),
        os=f"macOS {platform.mac_ver()[0]}",
        cores=os.cpu_count() or 1,
        runtime="coreml",
        runtime_version=platform.mac_ver()[0],
        threads=0,
        delegate=units.lower(),
        memory_mib=int(memory) / 2**20 if memory else None,
    )


def remote(device: Any, units: str) -> Device:
    """An attached iPhone, as coremltools describes it; its serial number only hashed."""
    return Device(
        name=device.type.value,
        soc="",
        os=f"{device.os_version} ({device.os_build_number})",
        cores=0,
        runtime="coreml",
        runtime_version=device.os_version,
        threads=0,
        delegate=units.lower(),
        serial_sha256=hashlib.sha256(device.udid.encode()).hexdigest()[:16],
    )


def _sysctl(name: str) -> str:
    try:
        return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def lines(measurements: Sequence[Measurement]) -> str:
    """The measurements as `edgeprune measurements import` reads them."""
    text = ""
    for one in measurements:
        facts = (one.device.name, one.device.soc, one.device.os, one.device.delegate)
        fingerprint = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
        entry = {"format": FORMAT, "device": fingerprint, "measurement": one.to_json()}
        text += json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n"
    return text


async def run(packages: Sequence[Path], units: str, protocol: Protocol, attached: Any = None) -> list[Measurement]:
    """Measure packages on this Mac, or on `attached`, a device of coremltools that is ready for it."""
    import coremltools
    from coremltools.models.ml_program.experimental.perf_utils import MLModelBenchmarker

    make: Callable[..., Any] = MLModelBenchmarker
    lanes = []
    for package in packages:
        on_phone = attached is not None
        model = coremltools.models.MLModel(
            str(package), compute_units=coremltools.ComputeUnit[units], skip_model_load=on_phone
        )
        lanes.append(Lane(package, make(model, device=attached), inputs_of(model.get_spec().description)))
    return await measure(lanes, remote(attached, units) if attached else this_mac(units), protocol)


async def _attach(kind: str, team: str) -> Any:
    from coremltools.models.ml_program.experimental import remote_device

    found = remote_device.Device.get_connected_devices(remote_device.DeviceType(kind))
    if len(found) != 1:
        names = ", ".join(device.name for device in found) or "none"
        raise SystemExit(f"exactly one {kind} has to be connected and trusted; found: {names}")
    credentials = remote_device.AppSigningCredentials(development_team=team)
    return await found[0].prepare_for_model_debugging(credentials=credentials)


async def _main(options: argparse.Namespace) -> list[Measurement]:
    attached = None if options.device == "mac" else await _attach(options.device, options.team)
    return await run(options.packages, options.units, QUICK if options.quick else FULL, attached)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    folder = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", type=Path, help=".mlpackage folders (default: those beside this file)")
    parser.add_argument("--device", choices=("mac", "iphone", "ipad"), default="mac")
    parser.add_argument("--team", default="", help="development team of your Apple account, for --device iphone")
    parser.add_argument("--units", choices=UNITS, default="ALL", help="processors that Core ML may use")
    parser.add_argument("--quick", action="store_true", help="30 runs, one round")
    parser.add_argument("-o", "--output", type=Path, default=Path("measurements.jsonl"))
    options = parser.parse_args(argv)
    options.packages = options.packages or sorted(folder.glob("*.mlpackage"))
    if platform.system() != "Darwin":
        raise SystemExit(f"Core ML runs on macOS only, and this is {platform.system()}: take this folder to a Mac.")
    if not options.packages:
        raise SystemExit(f"no .mlpackage in {folder}: name one.")
    if options.device != "mac" and not options.team:
        raise SystemExit("--device needs --team: the app that coremltools puts on the device has to be signed.")
    measurements = asyncio.run(_main(options))
    partial = options.output.with_suffix(".partial")
    partial.write_text(lines(measurements), encoding="utf-8")
    partial.replace(options.output)
    for package, one in zip(options.packages, measurements, strict=True):
        low, high = one.latency.ci95
        print(f"{package.name}: median {one.latency.median:.3f} ms [{low:.3f}, {high:.3f}], {one.latency.n} runs")
    print(f"{options.output}: edgeprune measurements import {options.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
