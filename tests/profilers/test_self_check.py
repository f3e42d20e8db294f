"""The profiler itself against known amounts: a busy loop's duration within 2 %, an allocation of 64 MiB.

A time is asserted here, so these are slow tests: a median stands a busy machine, but not every one.
"""

import pytest

from profilers.android.native_runner import NativeRunner
from profilers.android.station import Station
from profilers.host.runner import measure
from profilers.protocol import Protocol
from profilers.statistics import latency
from tests.profilers.android.conftest import *  # noqa: F403 - the station
from tests.profilers.conftest import MakeArtifact

BUSY_MS = 0.5  # short, so that most runs fall between the turns of other processes
SERIES = Protocol(warmup_runs=5, warmup_seconds=0.1, min_runs=100, min_seconds=0.2, max_runs=400, max_seconds=10.0)
pytestmark = pytest.mark.slow


def test_a_busy_loop_on_this_machine(fake: MakeArtifact) -> None:
    found = measure({"loop": fake(busy_ms=BUSY_MS)}, protocol=SERIES, memory=False)["loop"]
    assert found.latency.median == pytest.approx(BUSY_MS, rel=0.02)


def test_an_allocation_on_this_machine(fake: MakeArtifact) -> None:
    found = measure({"net": fake(alloc_mib=64)}, protocol=SERIES)["net"]
    assert found.peak_memory_mib == pytest.approx(64, abs=1)


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_busy_loop_on_the_phone(station: Station) -> None:
    runner = station.runner
    assert isinstance(runner, NativeRunner)
    samples = runner.self_check("busy-loop", round(BUSY_MS * 1e6)).samples_ms
    assert len(samples) >= 100
    assert latency(samples).median == pytest.approx(BUSY_MS, rel=0.02)


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_an_allocation_on_the_phone(station: Station) -> None:
    assert isinstance(station.runner, NativeRunner)
    assert station.runner.self_check("allocate", 64).peak_mib == pytest.approx(64, abs=1)
