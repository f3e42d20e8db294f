"""What measuring over adb costs beyond the measuring itself, on the emulated phone: `python -m benchmarks.phone`.

Prints seconds and adb round trips of each step; milliseconds of inference from here are emulated, and are not shown.
"""

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from converters.artifact import Artifact, sha256
from profilers.android.adb import Adb
from profilers.android.adb import Phone as Behind
from profilers.android.bench import PhoneBench
from profilers.android.facts import read_facts
from profilers.android.layer_probe import PhoneProber
from profilers.android.measure import measure
from profilers.android.native_runner import NativeRunner
from profilers.android.station import Station
from profilers.android.turn import Turn
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerKey
from profilers.protocol import QUICK
from tests.phone import Phone
from tests.phone.fixtures import connect

PROBES = 200


def model(folder: Path, channels: int) -> Artifact:
    """A convolution."""
    path = folder / f"{channels}.tflite"
    path.write_bytes(layer_file(LayerKey("conv2d", channels, 64, (28, 28), (28, 28), (3, 3), padding=(1, 1))))
    return Artifact("litert", path, (), (), "float32", sha256(path), path.stat().st_size)


def steps(folder: Path, behind: Behind) -> None:
    """Print a line a step."""

    def tell(step: str, since: float, trips: int, measured_s: float = 0.0) -> None:
        beyond = f", {time.monotonic() - since - measured_s:.2f} s beyond the runs" if measured_s else ""
        print(f"{step}: {time.monotonic() - since:.2f} s, {behind.trips - trips} round trips{beyond}")

    started, trips = time.monotonic(), behind.trips
    facts = read_facts(behind)
    with NativeRunner(behind, facts.abis) as runner:
        tell("facts, programs brought", started, trips)
        station = Station(behind, facts, runner, patience_s=0)
        one, other = model(folder, 64), model(folder, 32)
        started, trips = time.monotonic(), behind.trips
        found = measure(station, {"net": one}, protocol=QUICK)["net"]
        tell("a file, quick", started, trips, sum(found.samples_ms) / 1e3)
        started, trips = time.monotonic(), behind.trips
        found = measure(station, {"net": one})["net"]
        tell("a file, the full protocol", started, trips, sum(found.samples_ms) / 1e3)
        runner.run([Turn(one, warmup_runs=0, warmup_seconds=0.0, min_runs=1)])
        started, trips = time.monotonic(), behind.trips
        runner.run([Turn(one, warmup_runs=0, warmup_seconds=0.0, min_runs=1)])
        tell("a process that loads and runs once", started, trips)
        with PhoneBench(station, one) as bench:
            started, trips = time.monotonic(), behind.trips
            bench.ratio(other, seconds=2.0)
            tell("a candidate of the search (2 s of runs)", started, trips)
        keys = [LayerKey("linear", 8 * n, 16) for n in range(1, PROBES + 1)]
        with PhoneProber(station) as prober:
            started, trips = time.monotonic(), behind.trips
            prober.time_ms(keys)
            tell(f"{PROBES} layers", started, trips)


def main() -> None:
    """An adb server and a phone of its own."""
    with tempfile.TemporaryDirectory() as made, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        os.environ.update(ANDROID_ADB_SERVER_PORT=port, HOME=made, EDGEPRUNE_CACHE=f"{made}/cache")
        with Phone(Path(made) / "phone") as phone:
            subprocess.run(["adb", "start-server"], check=True, capture_output=True)
            connect(phone)
            try:
                steps(Path(made), Behind(Adb(), phone.address))
            finally:
                subprocess.run(["adb", "kill-server"], check=False)


if __name__ == "__main__":
    main()
