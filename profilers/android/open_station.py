"""A phone with the runner that was asked for, ready to measure."""

from collections.abc import Iterator
from contextlib import contextmanager

from profilers.android.adb import Phone
from profilers.android.app import AppRunner
from profilers.android.facts import read_facts
from profilers.android.native_runner import NativeRunner
from profilers.android.station import Station


@contextmanager
def open_station(phone: Phone, runner: str, delegate: str = "cpu") -> Iterator[Station]:
    """`runner` is "native" or "app". Raises DeviceError, RuntimeNotInstalled."""
    facts = read_facts(phone)
    made = AppRunner(phone, delegate) if runner == "app" else NativeRunner(phone, facts.abis, delegate)
    with made as ready:
        yield Station(phone, facts, ready)
