from pathlib import Path

import pytest

from profilers import device
from profilers.host import conditions, cores

BEFORE = {
    "monotonic_s": 100.0,
    "cores": 2,
    "load_1min": 2.3,
    "busy_s": 50.0,
    "steal_s": 1.0,
    "governor": None,
}


def after(busy: float, steal: float = 0.0) -> dict:
    return {**BEFORE, "monotonic_s": 110.0, "busy_s": 50.0 + busy, "steal_s": 1.0 + steal}


def test_a_quiet_machine_raises_no_doubt() -> None:
    assert conditions.flags(BEFORE, after(busy=11.0), own_cpu_s=10.0) == ()


def test_what_others_used_is_told_apart_from_our_own_work() -> None:
    (flag,) = conditions.flags(BEFORE, after(busy=20.0), own_cpu_s=10.0)
    assert flag == "machine busy: other processes used 1.0 of 2 cores, load 2.3"


def test_time_that_the_host_took() -> None:
    (flag,) = conditions.flags(BEFORE, after(busy=10.0, steal=2.0), own_cpu_s=10.0)
    assert flag == "virtual machine: the host took 10% of the CPU time"


def test_without_proc_the_load_decides() -> None:
    before = {**BEFORE, "busy_s": None, "steal_s": None}
    assert conditions.flags(before, after(0.0), 0.0) == ("machine busy: load 2.3 on 2 cores",)
    assert conditions.flags({**before, "load_1min": 0.4}, after(0.0), 0.0) == ()


def test_a_powersave_governor_is_named() -> None:
    (flag,) = conditions.flags({**BEFORE, "governor": "powersave"}, after(busy=1.0), own_cpu_s=1.0)
    assert "powersave" in flag


def test_a_snapshot_of_this_machine() -> None:
    first, second = conditions.snapshot(), conditions.snapshot()
    assert first["cores"] >= 1
    assert second["monotonic_s"] >= first["monotonic_s"]
    assert first["busy_s"] is None or second["busy_s"] >= first["busy_s"] > 0


@pytest.mark.parametrize(
    ("threads", "asked", "chosen"),
    [(1, None, (3,)), (2, None, (2, 3)), (3, None, (1, 2, 3)), (4, None, ()), (1, [0], (0,)), (1, [], ())],
)
def test_cores_are_the_fastest_of_those_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, asked: list[int] | None, chosen: tuple[int, ...]
) -> None:
    for core, clock in enumerate((1800, 1800, 2400, 3000)):
        (tmp_path / f"cpu{core}").mkdir()
        (tmp_path / f"cpu{core}" / "cpu_capacity").write_text(str(clock))
    monkeypatch.setattr(cores, "CPUS", tmp_path)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert cores.choose(threads, asked) == chosen


def test_the_fingerprint_is_stable_and_follows_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    here = device.fingerprint()
    assert here == device.fingerprint()
    assert len(here) == 16
    monkeypatch.setattr(device, "cpu_name", lambda: "another processor")
    assert device.fingerprint() != here


def test_this_machine_described() -> None:
    found = device.describe("litert", "2.3.0", 2, (0, 1), (0, 1), "none")
    assert (found.runtime, found.threads, found.affinity, found.delegate) == ("litert", 2, (0, 1), "none")
    assert found.name
    assert found.cores >= 1
    assert found.memory_mib is None or found.memory_mib > 100
