"""The native runners on this machine: the x86_64 bundle, started by its own loader, without a phone."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from converters import convert
from converters.artifact import SUFFIXES
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerKey
from profilers.runtimes import open_session
from profilers.statistics import relative_half_width

Run = Callable[..., tuple[int, list[dict[str, Any]]]]
CONV = LayerKey("conv2d", 3, 8, (9, 9), (9, 9), (3, 3), (1, 1), (1, 1))
ADD = LayerKey("add", 4, 4, (5, 5), (5, 5))
FEW = ("--warmup-runs", "1", "--warmup-seconds", "0", "--min-runs", "3", "--max-runs", "5", "--min-seconds", "0")


@pytest.fixture
def bundle(native: Path) -> Path:
    return native / "x86_64"


def start(folder: Path, program: str, *options: str | Path, limit: str = "") -> tuple[int, list[dict[str, Any]]]:
    """Run a program of a bundle: its exit code and its lines."""
    loader = json.loads((folder / "manifest.json").read_text())["loader"]
    command = [str(folder / loader), "--library-path", str(folder), str(folder / program), *map(str, options)]
    if limit:
        command = ["sh", "-c", f'{limit}; exec "$@"', "sh", *command]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, env={})
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def litert(bundle: Path) -> Run:
    return lambda *options, **more: start(bundle, "litert_run", *options, **more)


@pytest.fixture
def conv(tmp_path: Path) -> Path:
    path = tmp_path / "conv.tflite"
    path.write_bytes(layer_file(CONV))
    return path


@pytest.mark.parametrize("kind", ["bundle", "native_arm64"])
def test_a_bundle_is_whole_and_names_its_licences(request: pytest.FixtureRequest, kind: str) -> None:
    folder: Path = request.getfixturevalue(kind)
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "manifest.json"
    }
    assert manifest["files"] == found
    assert manifest["abi"] == folder.name
    assert {"litert_run", "executorch_run", "libLiteRt.so", manifest["loader"]} <= set(found)
    licences = (folder / "licences.txt").read_text()
    for name in set(found) - {"licences.txt"}:
        known = name.startswith(("libexecutorch", "libLiteRt")) or name in licences
        assert known, f"no licence of {name}"
    for text in ("ai-edge-litert 2.3.0", "executorch 1.5.1", "Apache License", "GNU Lesser General Public", "BSD"):
        assert text in licences


@pytest.mark.parametrize("key", [CONV, ADD], ids=["one input", "two inputs"])
def test_outputs_are_those_of_the_runtime_in_python(litert: Run, tmp_path: Path, key: LayerKey) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(layer_file(key))
    session = open_session(model, "litert")
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in session.input_shapes]
    for i, value in enumerate(values):
        value.tofile(tmp_path / f"in.{i}")
    inputs = [word for i in range(len(values)) for word in ("--input", tmp_path / f"in.{i}")]
    code, (line,) = litert("--model", model, *inputs, "--output", tmp_path / "out", *FEW)
    assert code == 0
    expected = session.run(values)[0]
    assert line["outputs"] == [{"file": f"{tmp_path}/out.0", "bytes": expected.nbytes}]
    got = np.fromfile(tmp_path / "out.0", np.float32).reshape(expected.shape)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(expected).max() > 0.1


def test_a_line_has_everything(litert: Run, conv: Path) -> None:
    code, (line,) = litert("--model", conv, *FEW)
    assert code == 0
    assert set(line) == {
        *(
            "model",
            "runtime",
            "runtime_version",
            "libc",
            "delegate",
            "threads",
            "os_threads",
            "cpus_asked",
            "cpus",
            "load_ms",
        ),
        *("first_ms", "warmup_runs", "samples_ns", "stopped", "rss_before_kib", "hwm_before_kib", "hwm_kib", "outputs"),
    }
    assert (line["model"], line["runtime"], line["runtime_version"]) == (str(conv), "litert", "2.3.0")
    assert line["libc"].startswith("glibc 2.")
    assert line["stopped"] in ("settled", "max_runs")
    assert 3 <= len(line["samples_ns"]) <= 5
    assert min(line["samples_ns"]) > 0
    assert line["load_ms"] > 0
    assert line["first_ms"] > 0
    assert line["hwm_kib"] > line["rss_before_kib"]


@pytest.mark.parametrize("core", sorted(os.sched_getaffinity(0)))
def test_it_runs_on_the_cores_asked_for(litert: Run, conv: Path, core: int) -> None:
    _, (line,) = litert("--model", conv, "--cpus", f"{1 << core:x}", *FEW)
    assert line["cpus_asked"] == line["cpus"] == [core]


def test_cores_that_are_not_to_be_had_are_told(litert: Run, conv: Path) -> None:
    _, (line,) = litert("--model", conv, "--cpus", f"{1 << 62:x}", *FEW)
    assert line["cpus_asked"] == [62]
    assert line["cpus"] == sorted(os.sched_getaffinity(0))


def test_a_series_ends_by_its_rule(litert: Run) -> None:
    busy = ("--busy-loop", "100000", "--warmup-seconds", "0", "--warmup-runs", "4")
    _, (line,) = litert(*busy, "--min-runs", "30", "--min-seconds", "0", "--half-width", "0")
    assert (line["stopped"], len(line["samples_ns"]), line["warmup_runs"]) == ("settled", 30, 4)
    _, (line,) = litert(*busy, "--min-runs", "30", "--max-runs", "50", "--half-width", "0.0000001")
    assert (line["stopped"], len(line["samples_ns"])) == ("max_runs", 50)
    _, (line,) = litert(*busy, "--min-runs", "10", "--min-seconds", "0.005", "--half-width", "1")
    assert line["stopped"] == "settled"
    assert sum(line["samples_ns"]) >= 5_000_000
    _, (line,) = litert(*busy, "--max-seconds", "0.01", "--min-seconds", "0.1", "--max-runs", "100000")
    assert line["stopped"] == "max_seconds"
    assert sum(line["samples_ns"][:-1]) < 10_000_000 <= sum(line["samples_ns"])


def test_a_series_that_settled_is_known_as_well_as_was_asked(litert: Run, conv: Path) -> None:
    few = ("--warmup-seconds", "0.05", "--min-runs", "50", "--min-seconds", "0", "--max-runs", "20000")
    _, (line,) = litert("--model", conv, "--half-width", "0.05", *few)
    assert line["stopped"] == "settled"
    assert relative_half_width(line["samples_ns"]) <= 0.05


def test_a_known_time_is_never_undercut(litert: Run) -> None:
    _, (line,) = litert("--busy-loop", "500000", *FEW)
    assert min(line["samples_ns"]) >= 500_000 * 0.999  # two clocks, one of them corrected by the network's time
    assert line["first_ms"] >= 0.4995


def test_a_known_allocation_is_seen(litert: Run) -> None:
    _, (line,) = litert("--allocate", "64", *FEW)
    assert 64 * 1024 <= line["hwm_kib"] - line["rss_before_kib"] < 66 * 1024


def test_a_run_that_does_not_end_is_ended_by_the_kernel(litert: Run) -> None:
    """Also where nobody is left to notice it: after the cable was pulled."""
    hour = "3600000000000"
    code, lines = litert("--busy-loop", hour, "--progress", "0.1", "--silence", "1")
    assert (code, lines) == (-signal.SIGALRM, [])


@pytest.mark.slow
def test_one_that_gives_signs_is_left_running(litert: Run) -> None:
    many = ("--min-runs", "500", "--max-runs", "500", *FEW[:4])  # 5 s in all, and a sign every 0.1 s
    code, lines = litert("--busy-loop", "10000000", "--progress", "0.1", "--silence", "3", *many)
    assert code == 0
    assert len(lines) > 2


def test_signs_of_life_come_while_it_warms_up_and_from_a_batch(litert: Run, conv: Path, tmp_path: Path) -> None:
    _, lines = litert("--busy-loop", "10000000", "--progress", "0.05", "--warmup-runs", "20", *FEW[4:])
    assert lines[0]["progress"]["warmup_runs"] >= 1
    (tmp_path / "list").write_text(f"{conv}\n{conv}\n")
    _, lines = litert("--batch", tmp_path / "list", "--progress", "1e-9", "--max-rounds", "5")
    told = [line["progress"] for line in lines if "progress" in line]
    assert {"loaded", "round"} <= {name for one in told for name in one}
    assert [line["model"] for line in lines if "model" in line] == [str(conv)] * 2


def test_progress_is_told(litert: Run) -> None:
    code, lines = litert("--busy-loop", "1000000", "--progress", "0.02", "--min-runs", "60", *FEW[:4])
    *told, last = lines
    assert code == 0
    assert told
    runs = [line["progress"]["runs"] for line in told]
    assert runs == sorted(runs)
    assert runs[-1] <= len(last["samples_ns"])
    assert told[-1]["progress"]["median_ns"] >= 999_000


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (["--model", "nope.tflite"], "missing_model", 1),
        (["--model", __file__], "bad_model", 1),
        (["--model", "CONV", "--input", "nope"], "missing_input", 1),
        (["--model", "CONV", "--input", __file__], "bad_input_size", 1),
        (["--model", "CONV", "--input", "CONV", "--input", "CONV"], "bad_input_size", 1),
        (["--model", "CONV", "--output", "/nowhere/out", *FEW], "output_failed", 1),
        (["--batch", "nope"], "missing_model", 1),
        ([], "usage", 2),
        (["--model", "CONV", "--batch", "x"], "usage", 2),
        (["--model", "CONV", "--threads", "0"], "usage", 2),
        (["--model", "CONV", "--threads", "-1"], "usage", 2),
        (["--model", "CONV", "--cpus", "xyz"], "usage", 2),
        (["--model", "CONV", "--min-seconds", "nan"], "usage", 2),
        (["--model", "CONV", "--max-runs", "0"], "usage", 2),
        (["--model", "CONV", "--unknown", "1"], "usage", 2),
        (["--model"], "usage", 2),
        (["CONV"], "usage", 2),
    ],
)
@pytest.mark.parametrize("program", ["litert_run", "executorch_run"])
def test_errors_have_codes(
    bundle: Path, conv: Path, program: str, options: list[str], code: str, exit_code: int
) -> None:
    if program == "executorch_run" and code in ("missing_input", "bad_input_size", "output_failed"):
        code = "bad_model"  # conv is none of its programs
    found, lines = start(bundle, program, *[str(conv) if option == "CONV" else option for option in options])
    assert (found, [line["error"]["code"] for line in lines]) == (exit_code, [code])
    assert lines[0]["error"]["message"]


def test_too_little_memory_is_an_error_of_its_own(litert: Run) -> None:
    code, (line,) = litert("--allocate", "500", *FEW, limit="ulimit -v 300000")
    assert (code, line["error"]["code"]) == (1, "out_of_memory")


def test_a_library_that_is_absent_or_of_another_version(bundle: Path, conv: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    (copy / "libLiteRt.so").unlink()
    code, (line,) = start(copy, "litert_run", "--model", conv)
    assert (code, line["error"]["code"]) == (1, "missing_library")
    subprocess.run(["gcc", "-shared", "-x", "c", "/dev/null", "-o", copy / "libLiteRt.so"], check=True)
    code, (line,) = start(copy, "litert_run", "--model", conv)
    assert (code, line["error"]["code"]) == (1, "wrong_version")
    assert "built for 2.3.0" in line["error"]["message"]


@pytest.mark.parametrize("name", ["a b", "it's", 'a"b\\c', "$(id)", "-x", "ü", "line\nbreak"])
def test_any_file_name_will_do(litert: Run, conv: Path, tmp_path: Path, name: str) -> None:
    model = tmp_path / name
    model.write_bytes(conv.read_bytes())
    code, (line,) = litert("--model", model, *FEW)
    assert (code, line["model"]) == (0, str(model))


def test_a_batch_takes_turns_and_survives_bad_files(litert: Run, conv: Path, tmp_path: Path) -> None:
    other = tmp_path / "add.tflite"
    other.write_bytes(layer_file(ADD))
    (tmp_path / "list").write_text(f"{conv}\n{other}\n\nnope\n{conv}\n")
    code, lines = litert("--batch", tmp_path / "list", "--burst", "2", "--min-rounds", "7", "--max-rounds", "7")
    assert code == 1
    assert [line["model"] for line in lines] == [str(conv), str(other), "nope", str(conv)]
    assert lines[2]["error"]["code"] == "missing_model"
    for line in (lines[0], lines[1], lines[3]):
        assert len(line["samples_ns"]) == 14
        assert line["hwm_kib"] is None


@pytest.mark.parametrize("threads", [1, 3])
def test_as_many_threads_run_as_were_asked_for(litert: Run, conv: Path, threads: int) -> None:
    _, (line,) = litert("--model", conv, "--threads", str(threads), *FEW)
    assert line["threads"] == line["os_threads"] == threads


class Weighted(nn.Module):
    """Eleven inputs, each with a weight of its own: their order shows, also that of args_10 and args_2."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return sum((2.0**number * value for number, value in enumerate(inputs)), torch.zeros(()))


@pytest.mark.slow
@pytest.mark.parametrize(("format", "program"), [("litert", "litert_run"), ("executorch", "executorch_run")])
def test_inputs_keep_their_order(bundle: Path, tmp_path: Path, format: Any, program: str) -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((1, 3)).astype(np.float32) for _ in range(11)]
    inputs: list[str | Path] = []
    for number, value in enumerate(values):
        value.tofile(tmp_path / f"in.{number}")
        inputs += ["--input", tmp_path / f"in.{number}"]
    model = convert(
        Weighted(), tuple(map(torch.from_numpy, values)), format, tmp_path / f"model{SUFFIXES[format]}"
    ).path
    code, (line,) = start(bundle, program, "--model", model, *inputs, "--output", tmp_path / "out", *FEW)
    assert code == 0, line
    expected = sum(2.0**number * value for number, value in enumerate(values))
    np.testing.assert_allclose(np.fromfile(tmp_path / "out.0", np.float32), expected[0], rtol=1e-4)
