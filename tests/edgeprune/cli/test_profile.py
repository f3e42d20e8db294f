"""`edgeprune devices` and `edgeprune profile`, on this machine and on the emulated phone."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from edgeprune.profiling.profile import Row
from edgeprune.profiling.table import render
from profilers.exchange import listing
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerKey
from profilers.measurement import Device, Latency, Measurement, Ratio
from profilers.store import Store
from tests.phone import Faults, Kill, Phone
from tests.phone.fixtures import adb, connect

Cli = Callable[..., Result]
ROOT = Path(__file__).parents[3]
TOOL = """#!/system/bin/sh
case "$*" in *--graph=/data/local/tmp/edgeprune/run-*.tflite*--num_threads=2*--num_runs=100*) ;; *) exit 3;; esac
cat <<'end'
Initialized session in 20.283ms.
count=2 first=339304 curr=266300 min=266300 max=339304 avg=302814 std=36502
count=100 first=266601 curr=266931 min=265837 max=268116 avg=266473 std=419
Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, Inference (avg): 266473
Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    0.085\t    0.003\t  0.739%\t  4.070%\t     0.000\t        1\tconv:0
end
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A convolution under a name that a shell would trip over."""
    path = tmp_path / "it's $(touch harm) & -rf.tflite"
    path.write_bytes(layer_file(LayerKey("conv2d", 32, 32, (14, 14), (14, 14), (3, 3), padding=(1, 1))))
    return path


def test_a_file_on_this_machine_with_two_thread_counts(cli: Cli, model: Path) -> None:
    done = cli("profile", model, "--threads", "1,2", "--quick", "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["measurements"]
    assert [row["threads"] for row in rows] == [1, 2]
    assert all(len(row["measurement"]["samples_ms"]) == 30 for row in rows)
    assert {row["measurement"]["kind"] for row in rows} == {"measured"}
    first = Measurement.from_json(rows[0]["measurement"])
    from profilers import device

    assert Store().measurements(first.artifact_sha256, device.fingerprint(), "litert", 1) == [first]


def test_two_files_are_compared_and_a_budget_is_judged(cli: Cli, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "small.tflite"
    other.write_bytes(layer_file(LayerKey("conv2d", 4, 4, (14, 14), (14, 14), (3, 3), padding=(1, 1))))
    done = cli("profile", model, other, "--quick", "--latency", "100s")
    assert done.exit_code == 0, done.stderr
    assert "times faster" in done.stdout
    assert "100s met" in done.stdout.replace("\n", " ")
    missed = cli("profile", other, "--quick", "--latency", "0.001us")
    assert missed.exit_code == 4
    assert "not met" in missed.stdout


def test_the_files_of_a_run(cli: Cli, fast_run: Path) -> None:
    done = cli("profile", fast_run, "--quick", "--json")
    rows = json.loads(done.stdout)["measurements"]
    assert [row["file"] for row in rows] == ["dense", "pruned"]
    assert rows[1]["ratio"]["median"] < 1.2
    wrong = cli("profile", fast_run, "--quick", "--runtime", "executorch")
    assert wrong.exit_code == 2
    assert "only litert" in " ".join(wrong.stderr.split())


def test_latency_over_time(cli: Cli, model: Path) -> None:
    done = cli("profile", model, "--sustained", "2s", "--json")
    (found,) = json.loads(done.stdout)["sustained"]
    windows = found["windows"]
    assert len(windows) >= 3
    assert windows[0]["after_s"] < 0.5
    assert all(w["n"] > 1 and w["p90"] >= w["median"] > 0 for w in windows)
    assert found["kind"] == "measured"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--delegate", "gpu"], 3, "no gpu delegate"),
        (["--per-op"], 2, "benchmark_model"),
        (["--serial", "A"], 2, "--target android"),
        (["--threads", "1,x"], 2, "--threads"),
        (["--threads", "99"], 2, "from 1 to 64"),
        (["--target", "android", "--cores", "large"], 2, "edgeprune devices"),
        (["--sustained", "5"], 2, "5min"),
        (["--sustained", "0s"], 2, "5min"),
        (["--sustained", "1s", "--latency", "20ms"], 2, "--latency"),
        (["--sustained", "1s", "--quick"], 2, "--quick"),
        (["--sustained", "1s", "--runs", "200"], 2, "--runs"),
        (["--target", "android", "--runner", "benchmark_model", "--binary", "x", "--latency", "1s"], 2, "--latency"),
        (
            ["--target", "android", "--runner", "benchmark_model", "--binary", "x", "--sustained", "1s"],
            2,
            "--sustained",
        ),
        (["--target", "android", "--runner", "benchmark_model", "--binary", "no/file"], 2, "no/file"),
        (["--runtime", "litert"], 2, "--runtime"),
        (["--latency", "50%"], 2, "relative"),
        (["--latency", "p90:20ms", "--runs", "100"], 2, "300"),
        (["--target", "fridge"], 2, "host, android"),
        (["--target", "android", "--runner", "benchmark_model"], 2, "--binary"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(
    cli: Cli, model: Path, words: list[str], code: int, said: str
) -> None:
    done = cli("profile", model, *words, "--json")
    assert done.exit_code == code, done.stderr
    error = json.loads(done.stdout)["error"]
    assert said in (error["message"] + error["cure"])


def test_what_is_no_model(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs/done").mkdir(parents=True)
    (tmp_path / "runs/done/result.json").touch()
    said_of = {
        "notes.txt": "neither",
        "nothing.tflite": "Finished runs here: runs/done.",
        "runs/nothing": "Finished runs here: runs/done.",
        "empty": "not a finished run",
    }
    for name, said in said_of.items():
        done = cli("profile", tmp_path / name)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.split())


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_devices_are_described_and_those_not_ready_come_with_a_cure(cli: Cli, phone: Phone, tmp_path: Path) -> None:
    with Phone(tmp_path / "locked", serial="LOCKED") as locked:
        locked.faults.unauthorized = True
        adb("connect", locked.address)
        done = cli("devices", "--json")
        table = cli("devices").stdout
    assert done.exit_code == 0, done.stderr
    by_serial = {row["serial"]: row for row in json.loads(done.stdout)["devices"]}
    ready, other = by_serial[phone.address], by_serial[locked.address]
    assert (ready["state"], ready["emulated"], ready["android"], ready["abi"]) == ("ready", True, "14", "x86_64")
    assert sum(len(cluster["cores"]) for cluster in ready["clusters"]) >= 1
    assert other["state"] in ("unauthorized", "offline")
    assert other["cure"]
    assert "emulated: not a phone" in table
    assert "--cores" in table
    assert other["cure"] in " ".join(table.split())


@pytest.mark.usefixtures("adb_server")
@pytest.mark.debian("adb")
def test_without_a_phone(cli: Cli, model: Path) -> None:
    assert "No phone." in cli("devices").stdout
    done = cli("profile", model, "--target", "android")
    assert done.exit_code == 5
    assert "adb lists no device" in done.stderr


@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_file_on_the_emulated_phone_says_emulated_and_no_shell_sees_its_name(
    cli: Cli, phone: Phone, model: Path, tmp_path: Path
) -> None:
    done = cli("profile", model, "--target", "android", "--quick", "--json")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["measurements"]
    assert row["measurement"]["kind"] == "emulated"
    assert row["measurement"]["device"]["libc"] == "glibc"
    assert phone.address not in done.stdout
    assert not any("harm" in command for command in phone.history)
    assert not list(tmp_path.rglob("harm"))
    table = cli("profile", model, "--target", "android", "--quick").stdout
    assert "(emulated)" in table
    assert "these are not a phone's numbers" in table
    assert "runtime=glibc" in " ".join(table.split())


@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_several_phones_one_row_each(cli: Cli, phone: Phone, model: Path, tmp_path: Path) -> None:
    with Phone(tmp_path / "second", serial="B", model="another emulated one") as second:
        connect(second)
        refused = cli("profile", model, "--target", "android", "--quick")
        assert refused.exit_code == 5
        assert phone.address in refused.stderr.replace("\n", "")
        both = ("--serial", phone.address, "--serial", second.address)
        done = cli("profile", model, "--target", "android", "--quick", *both, "--json")
    rows = json.loads(done.stdout)["measurements"]
    assert len({row["target"] for row in rows}) == 2


def test_too_few_pairs_have_no_interval() -> None:
    latency = Latency(1.0, 0.9, 1.1, 0.8, (0.9, 1.1), 30, (1.0, 1.2))
    device = Device("a", "b", "c", 1, "litert", "2", 1)
    measured = Measurement("0" * 64, latency, (1.0,), 1.0, 1.0, None, device)

    def shown(pairs: int) -> str:
        ratio = Ratio(0.5, (0.4, 0.6), (0.5,) * pairs)
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(render([Row("one", "a", 1, measured), Row("other", "a", 1, measured, ratio)]))
        return console.export_text()

    assert "0.500 of one's latency, from 5 pairs of turns: too few for a 95 % interval" in shown(5)
    assert "times faster" not in shown(5)
    assert "2.00 times faster" in shown(6)


@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_cores_that_the_phone_does_not_have_come_with_those_that_it_has(cli: Cli, phone: Phone, model: Path) -> None:
    last = sum(cluster.cores for cluster in phone.clusters) - 1
    done = cli("profile", model, "--target", "android", "--cores", f"{1 << (last + 1):x}")
    assert done.exit_code == 2
    assert "This phone has --cores 1 (" in " ".join(done.stderr.split())


@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_what_one_phone_measured_is_kept_when_the_other_fails(
    cli: Cli, phone: Phone, model: Path, tmp_path: Path
) -> None:
    with Phone(tmp_path / "second", serial="B") as second:
        connect(second)
        second.faults.output = lambda _, out: out.replace(b'"load_ms": ', b'"load_ms": NaN, "x": ')
        both = ("--serial", phone.address, "--serial", second.address)
        done = cli("profile", model, "--target", "android", "--quick", *both)
    assert done.exit_code == 5
    assert "cannot be believed" in done.stderr
    assert len(listing(Store())) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_ctrl_c_ends_the_work_on_all_phones(phone: Phone, model: Path, tmp_path: Path) -> None:
    """Both hang: neither would end by itself for a minute and more."""
    with Phone(tmp_path / "second", serial="B") as second:
        connect(second)
        phones = (phone, second)
        for one in phones:
            one.faults.hang = "litert_run"
        both = ("--serial", phone.address, "--serial", second.address)
        command = ["env", "--default-signal=INT", sys.executable, "-m", "edgeprune"]
        running = subprocess.Popen(
            [*command, "profile", model, "--target", "android", *both], stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            while not all(any("litert_run" in name for name in one.history) for one in phones):
                assert running.poll() is None
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=45)
        finally:
            running.kill()
        assert running.returncode == 130, said
        assert "Interrupted" in said
        assert "Traceback" not in said
        assert [one.running() for one in phones] == [[], []]


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_an_official_program_is_run_and_only_quoted(cli: Cli, phone: Phone, model: Path, tmp_path: Path) -> None:
    (tmp_path / "benchmark_model").write_text(TOOL)
    words = ("profile", model, "--target", "android", "--runner", "benchmark_model", "--binary", "benchmark_model")
    done = cli(*words, "--per-op", "--threads", "2", "--json")
    assert done.exit_code == 0, done.stderr
    (told,) = json.loads(done.stdout)["official"]
    assert (told["kind"], told["summary"]["mean"], told["summary"]["n"]) == ("emulated", 266.473, 100)
    assert told["summary"]["quantiles"] == {}
    assert told["summary"]["ops"] == [{"name": "conv:0", "op": "CONV_2D", "ms": 0.003, "calls": 1}]
    table = cli(*words, "--per-op", "--threads", "2").stdout
    assert "mean (emulated)" in table
    assert "CONV_2D" in table
    broken = cli(*words, "--threads", "4")
    assert broken.exit_code == 5
    assert "exit code 3" in broken.stderr
    assert phone.left_behind() == []


@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_phone_that_gets_hot_while_it_runs_on(cli: Cli, phone: Phone, model: Path) -> None:
    phone.state.heating_c_per_s = 3.0
    done = cli("profile", model, "--target", "android", "--sustained", "3s", "--wait", "0s", "--json")
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads(done.stdout)["sustained"]
    celsius = [window["battery_c"] for window in found["windows"]]
    assert celsius == sorted(celsius)
    assert celsius[-1] > celsius[0]
    assert found["kind"] == "emulated"


@pytest.mark.usefixtures("native", "phone")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_gpu_that_the_native_runner_cannot_have(cli: Cli, model: Path) -> None:
    done = cli("profile", model, "--target", "android", "--delegate", "gpu")
    assert done.exit_code == 3
    assert "gpu" in done.stderr


@pytest.mark.usefixtures("native")
@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kill": Kill("litert_run", signal.SIGSEGV)}, "died on the phone"),
        ({"kill": Kill("litert_run", signal.SIGKILL)}, "lack of memory"),
        ({"free_bytes": 1000}, "No space left"),
        ({"read_only": True}, "No folder can be made"),
        ({"output": lambda _, out: out.replace(b'"load_ms": ', b'"load_ms": NaN, "x": ')}, "cannot be believed"),
        ({"unauthorized": True}, "unauthorized"),
        ({"offline": True}, "offline"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_fault_of_the_phone_ends_with_code_5_and_a_cure(
    cli: Cli, tmp_path: Path, adb_server: int, model: Path, fault: dict[str, object], said: str
) -> None:
    assert adb_server
    with Phone(tmp_path / "phone", faults=Faults(**fault)) as phone:  # type: ignore[arg-type]
        adb("connect", phone.address)
        done = cli("profile", model, "--target", "android", "--json")
        assert phone.left_behind() == []
    assert done.exit_code == 5, done.stderr
    error = json.loads(done.stdout)["error"]
    assert said in error["message"]
    assert error["cure"]
