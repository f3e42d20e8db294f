"""A phone that is ready to measure with the native runner."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converters.artifact import Artifact
from profilers.android import adb as adb_module
from profilers.android.adb import Adb
from profilers.android.adb import Phone as Behind
from profilers.android.facts import read_facts
from profilers.android.native_runner import NativeRunner
from profilers.android.station import Station
from profilers.layers import LayerKey
from tests.phone import Phone

BIG = LayerKey("conv2d", 64, 64, (28, 28), (28, 28), (3, 3), padding=(1, 1))
SMALL = LayerKey("conv2d", 16, 64, (28, 28), (28, 28), (3, 3), padding=(1, 1))


@pytest.fixture
def behind(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> Behind:
    """The emulated phone as the profiler sees it; one that went away is not waited for long."""
    monkeypatch.setattr(adb_module, "RETURN_S", 3.0)
    return Behind(Adb(), phone.address)


@pytest.fixture
def station(behind: Behind, native: Path) -> Iterator[Station]:  # noqa: ARG001
    """It with the native runner; a process without a sign is given up after 5 s."""
    facts = read_facts(behind)
    with NativeRunner(behind, facts.abis, silence_s=5.0) as runner:
        yield Station(behind, facts, runner, patience_s=0)


@pytest.fixture
def big(layer: Any) -> Artifact:
    """A convolution of 64 to 64 channels."""
    return layer(BIG)


@pytest.fixture
def small(layer: Any) -> Artifact:
    """The same from 16 channels: a quarter of the MACs."""
    return layer(SMALL)
