"""The emulated phone against Debian's real adb client."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.phone import Phone
from tests.phone.fixtures import adb, connect

FOLDER = "/data/local/tmp"


def test_adb_lists_it_as_an_emulated_one(phone: Phone) -> None:
    line = adb("devices", "-l").stdout.splitlines()[1]
    assert line.startswith(f"{phone.address} ")
    assert " device product:edgeprune_emulated model:EdgePrune_emulated_phone device:emulated" in line
    assert adb("shell", "getprop ro.edgeprune.emulated").stdout == "1\n"
    assert adb("get-state").stdout == "device\n"


@pytest.mark.usefixtures("phone")
def test_shell_keeps_streams_apart_and_returns_exit_codes() -> None:
    done = adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert adb("shell", "cat", input="through stdin\n").stdout == "through stdin\n"
    assert adb("shell", "sh -c 'kill -9 $$'").returncode == 137
    assert adb("exec-out", "printf 'a\\nb'").stdout == "a\nb"


def test_android_programs_work_within_pipes_and_loops(phone: Phone) -> None:
    assert adb("shell", "for p in abi abilist; do getprop ro.product.cpu.$p; done | sort -u").stdout == "x86_64\n"
    assert adb("shell", "getprop | grep -c '^\\[ro'").stdout.strip().isdigit()
    assert adb("shell", "dumpsys battery | grep level").stdout == "  level: 87\n"
    assert "Thermal Status: 0" in adb("shell", "dumpsys thermalservice").stdout
    assert "mWakefulness=Awake" in adb("shell", "dumpsys power").stdout
    assert adb("shell", "settings get global low_power; settings put global low_power 1").returncode == 0
    assert phone.state.low_power
    assert adb("shell", "df -k /data").stdout.splitlines()[1].split()[3] == str(40 * 1024**2)
    assert phone.calls[0] == ("getprop", "ro.product.cpu.abi")


@pytest.mark.usefixtures("phone")
def test_small_programs_that_android_has() -> None:
    assert adb("shell", "getconf PAGESIZE").stdout == "4096\n"
    assert adb("shell", "nohup echo still here").stdout == "still here\n"


def test_cores_come_in_clusters_and_pinning_is_real(phone: Phone) -> None:
    base = "/sys/devices/system/cpu"
    cores = sum(cluster.cores for cluster in phone.clusters)
    assert adb("shell", f"cat {base}/possible").stdout == f"0-{cores - 1}\n"
    speeds = adb("shell", f"cat {base}/cpu*/cpufreq/cpuinfo_max_freq").stdout.split()
    assert speeds == [str(cluster.khz) for cluster in phone.clusters for _ in range(cluster.cores)]
    seen = adb("shell", f"taskset {1 << (cores - 1):x} grep Cpus_allowed_list /proc/self/status").stdout
    assert seen.split() == ["Cpus_allowed_list:", str(cores - 1)]


@pytest.mark.parametrize("name", ["plain", "with space", "it's", 'a"b', "$(touch x)", "-rf", "ü", "a;b&c|d"])
def test_files_go_both_ways_under_any_name(phone: Phone, tmp_path: Path, name: str) -> None:
    sent = tmp_path / "sent"
    sent.write_bytes(os.urandom(300_000))
    sent.chmod(0o755)
    assert adb("push", str(sent), f"{FOLDER}/{name}").returncode == 0
    stored = phone.path(f"{FOLDER}/{name}")
    assert stored.read_bytes() == sent.read_bytes()
    assert stored.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in phone.path(FOLDER).iterdir()] == [name]
    assert adb("pull", f"{FOLDER}/{name}", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


@pytest.mark.usefixtures("phone")
def test_folders_go_both_ways(tmp_path: Path) -> None:
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/a").write_text("a")
    (tmp_path / "tree/deep/b").write_text("b")
    assert adb("push", f"{tmp_path}/tree/.", f"{FOLDER}/tree").returncode == 0
    assert adb("pull", f"{FOLDER}/tree", f"{tmp_path}/back").returncode == 0
    assert (tmp_path / "back/deep/b").read_text() == "b"
    assert sorted(adb("shell", f"ls {FOLDER}/tree").stdout.split()) == ["a", "deep"]


@pytest.mark.usefixtures("phone")
def test_files_missing_or_out_of_bounds_are_errors(tmp_path: Path) -> None:
    missing = adb("pull", f"{FOLDER}/none", str(tmp_path / "x"))
    assert missing.returncode != 0
    assert "No such file or directory" in missing.stdout + missing.stderr
    refused = adb("push", __file__, "/system/bin/x")
    assert refused.returncode != 0
    assert "Permission denied" in refused.stdout + refused.stderr
    assert adb("shell", "cat /../../../../etc/passwd").returncode != 0


def test_a_command_whose_host_leaves_is_ended(phone: Phone) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        adb("shell", "sleep 1000", timeout=1)
    assert_nothing_runs(phone)


def assert_nothing_runs(phone: Phone) -> None:
    """Within five seconds."""
    for _ in range(100):
        if not phone.running():
            return
        time.sleep(0.05)
    raise AssertionError(phone.running())


@pytest.mark.usefixtures("adb_server")
def test_switching_it_off_leaves_nothing(tmp_path: Path) -> None:
    with Phone(tmp_path / "phone") as phone:
        connect(phone)
        with pytest.raises(subprocess.TimeoutExpired):
            adb("shell", "trap '' HUP; sleep 1000", timeout=1)
        assert any("sleep" in process.arguments for process in phone.running())
    assert not phone.running()


@pytest.mark.usefixtures("adb_server")
def test_one_is_started_by_hand_and_switched_off() -> None:
    background = ["env", "--ignore-signal=INT"]  # as shells start their background jobs
    command = [*background, sys.executable, "-m", "tests.phone", "--backend", "host"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as by_hand:
        assert by_hand.stdout is not None
        first = by_hand.stdout.readline()
        address = first.split(" answers at ")[1].split(". ")[0]
        assert adb("connect", address).stdout.startswith("connected to")
        assert adb("-s", address, "shell", "getprop ro.edgeprune.emulated").stdout == "1\n"
        by_hand.send_signal(signal.SIGINT)
        try:
            by_hand.wait(timeout=60)
        finally:
            by_hand.kill()
        assert "edgeprune profile" in by_hand.stdout.read()
    assert by_hand.returncode == 0
