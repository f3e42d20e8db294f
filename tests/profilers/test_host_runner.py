import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from profilers.errors import MeasurementError
from profilers.host import HostBench, compare, measure
from profilers.host.runner import interleave
from profilers.layers import LayerKey
from profilers.measurement import Measurement
from profilers.protocol import QUICK

ROOT = Path(__file__).parents[2]
SMALL = LayerKey("conv2d", 16, 16, (14, 14), (14, 14), (3, 3), padding=(1, 1))


class Turn:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def turn(self) -> None:
        self.log.append(self.name)


def test_rounds_are_palindromes() -> None:
    log: list[str] = []
    interleave([Turn("A", log), Turn("B", log)], lambda rounds: rounds == 2)
    assert "".join(log) == "ABBAABBA"
    log.clear()
    interleave([Turn(name, log) for name in "ABC"], lambda rounds: rounds == 1)
    assert "".join(log) == "ABCCBA"


def test_a_measurement_is_whole(layer) -> None:
    artifact = layer(SMALL)
    seen: list[str] = []
    found = measure({"net": artifact}, protocol=QUICK, on_progress=lambda name, _: seen.append(name))["net"]
    assert found.artifact_sha256 == artifact.sha256
    assert found.latency.n == len(found.samples_ms) >= 30
    assert min(found.samples_ms) == found.latency.minimum > 0
    assert (found.device.runtime, found.device.threads, found.device.delegate) == ("litert", 1, "xnnpack")
    assert found.device.affinity == found.device.affinity_seen or found.device.affinity == ()
    assert found.device.runtime_version
    assert found.peak_memory_mib is None or found.peak_memory_mib > 0
    assert found.kind == "measured"
    assert found.conditions_before["monotonic_s"] < found.conditions_after["monotonic_s"]
    assert set(seen) == {"net"}
    assert Measurement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_ratio_of_two_busy_loops_of_known_length(fake) -> None:
    reference, candidate, ratio = compare(fake(busy_ms=0.4), fake(busy_ms=0.2), protocol=QUICK, memory=False)
    assert ratio.median == pytest.approx(0.5, rel=0.25)
    assert ratio.ci95[0] <= ratio.median <= ratio.ci95[1]
    assert reference.latency.n > 0
    assert candidate.latency.n > 0
    assert reference.peak_memory_mib is None


def test_the_bench_pairs_each_candidate_with_the_reference(fake) -> None:
    with HostBench(fake(busy_ms=0.4)) as bench:
        half, latency = bench.ratio(fake(busy_ms=0.2), seconds=0.2)
        same, _ = bench.ratio(fake(busy_ms=0.4), seconds=0.2)
        assert bench.reference.minimum >= 0.4
    assert half.median == pytest.approx(0.5, rel=0.25)
    assert same.median == pytest.approx(1.0, rel=0.25)
    assert len(half.rounds) >= 6
    assert latency.minimum >= 0.2


def test_the_bench_survives_a_candidate_that_crashes(fake) -> None:
    with HostBench(fake(busy_ms=1)) as bench:
        with pytest.raises(MeasurementError, match="bad kernel"):
            bench.ratio(fake(crash=True))
        assert bench.ratio(fake(busy_ms=1), seconds=0.1)[0].median > 0


def children() -> set[int]:
    """Living child processes of this one, from /proc: state and parent follow the name in parentheses."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(path.parent.name))
    return found


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_measurement_leaves_no_process(fake, error: type[BaseException]) -> None:
    others = children()

    def stop(*_: object) -> None:
        assert children() - others
        raise error

    with pytest.raises(error):
        measure({"a": fake(busy_ms=1), "b": fake(busy_ms=1)}, on_progress=stop)
    assert children() <= others


def test_a_bad_reference_leaves_no_process(fake) -> None:
    others = children()
    with pytest.raises(MeasurementError, match="bad kernel"):
        HostBench(fake(crash=True))
    assert children() <= others


def test_measuring_needs_no_torch(layer, tmp_path: Path) -> None:
    artifact = layer(SMALL)
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "torch.py").write_text("raise ImportError('torch must not be imported')")
    program = f"""
import sys
sys.path.insert(0, {str(poison)!r})
from pathlib import Path
from converters.artifact import Artifact
from profilers.host import LayerProber, compare
from profilers.layers import LayerKey
from profilers.protocol import QUICK
a = Artifact("litert", Path({str(artifact.path)!r}), (), (), "float32", {artifact.sha256!r}, 0)
print(compare(a, a, protocol=QUICK)[2].median)
with LayerProber(seconds_per_probe=0.001) as prober:
    print(*prober.time_ms([LayerKey("linear", 64, 64)]))
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(poison)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
