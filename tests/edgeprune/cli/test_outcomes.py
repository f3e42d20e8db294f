"""How a run ends, through the program: met, not in reach, nothing to do, not measured, planned, replayed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import edgeprune
from converters import inspect
from edgeprune.answers import Plan
from edgeprune.result import Result
from edgeprune.sources.models import load_model

SHORT = ("--epochs", "1", "--formats", "litert")
RULE = ("--macs", "60%", "--allocate", "uniform")


def said(done) -> str:
    """What a call of the program told on stderr, without line breaks."""
    return " ".join(done.stderr.split())


@pytest.fixture
def known_costs(run, monkeypatch):
    """The store that the whole run filled."""
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(run["path"].parent / "cache"))


def test_json_has_stdout_to_itself(run):
    assert run["json"]["schema_version"]
    assert "Searching widths" in run["stderr"]
    assert "schema_version" not in run["stderr"]


@pytest.mark.usefixtures("known_costs")
def test_latency_below_the_floor(cli, given, tmp_path):
    done = cli("optimize", *given, "--latency", "2%", *SHORT, "-o", "run", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["exit_code"]) == (4, 4)
    assert "latency 2%" in error["message"]
    assert "floor" in error["message"]
    assert not (tmp_path / "run").exists()
    assert "ms (measured" in error["message"]
    assert "--plan" in error["cure"]
    assert "known from before" in said(done)


@pytest.mark.parametrize(
    "budget", [("--macs", "100%"), pytest.param(("--latency", "5s"), marks=pytest.mark.slow)], ids=["macs", "latency"]
)
def test_a_dense_network_that_meets_the_budget_is_left_alone(cli, given, trained, tmp_path, budget):
    done = cli("optimize", *given, *budget, *SHORT, "-o", "run", "--json")
    result = Result.model_validate_json(done.stdout)
    assert (done.exit_code, result.met, result.recovery) == (0, True, None)
    assert "nothing was pruned" in result.outcome
    assert "nothing is pruned" in said(done)
    assert result.groups.pruned == []
    assert (result.pruned.macs, result.pruned.accuracy) == (result.dense.macs, result.dense.accuracy)
    assert [p.name for p in (tmp_path / "run" / "artifacts").iterdir()] == ["dense.tflite"]
    loaded, weights = edgeprune.load(tmp_path / "run").state_dict(), load_file(trained)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_ios_gets_a_package_and_a_report_headed_not_measured(cli, given, tmp_path):
    done = cli("optimize", *given, "--target", "ios", "--macs", "60%", "--allocate", "uniform", "--epochs", "1",
               "-o", "run")  # fmt: skip
    assert done.exit_code == 0
    assert done.stdout.startswith("Not measured")
    result = Result.model_validate_json((tmp_path / "run" / "result.json").read_text())
    assert result.met
    assert (result.dense.latency_ms, result.pruned.latency_ms) == (None, None)
    assert result.pruned.macs <= 0.6 * result.dense.macs
    page = (tmp_path / "run" / "report.html").read_text()
    body = page[page.index("<body") :]
    assert "not measured" in body[: body.index("</h2>")].lower()
    assert not (tmp_path / "run" / "measurements.jsonl").exists()
    weights = load_file(tmp_path / "run" / "model.safetensors")
    widths = [w.shape[0] for n, w in weights.items() if w.ndim == 4 or n == "fc.weight"]
    package = inspect(tmp_path / "run" / "artifacts" / "pruned.mlpackage", "coreml")
    assert sorted(package.widths) == sorted(widths)


@pytest.mark.usefixtures("known_costs")
def test_plan_trains_nothing_and_leaves_nothing(cli, given, tmp_path):
    done = cli("optimize", *given, "--latency", "2%", "--plan", "--json")
    plan = Plan.model_validate_json(done.stdout)
    assert done.exit_code == 0
    assert plan.in_reach is False
    assert plan.floor_share == pytest.approx(plan.floor_ms / plan.dense_ms)
    assert plan.budget_ms == pytest.approx(0.02 * plan.dense_ms)
    assert (plan.dense_macs, plan.floor_macs) == (763520, 26856)
    convs = {name for name, w in load_file(given[3]).items() if w.ndim == 4 or name == "fc.weight"}
    assert {layer.name for layer in plan.layers} == {name.removesuffix(".weight") for name in convs}
    assert sum(layer.predicted_ms for layer in plan.layers) <= plan.dense_ms * (1 + 1e-6)
    assert not list(tmp_path.glob("run*"))


@pytest.mark.slow
@pytest.mark.usefixtures("known_costs")
def test_plan_as_text(cli, given):
    done = cli("optimize", *given, "--latency", "90%", "--plan")
    assert done.exit_code == 0
    for name in ("stages.layer3.0.conv2", "floor", "ms"):
        assert name in done.stdout.lower()


def test_init_then_only_the_budget_is_typed(cli, trained, fast_run, tmp_path):
    assert cli("init").exit_code == 0
    file = tmp_path / "edgeprune.yaml"
    text = file.read_text()
    for key, value in {"model": "builtin:resnet8", "weights": trained, "data": "builtin:digits", "epochs": 1,
                       "formats": "[litert]", "allocate": "uniform"}.items():  # fmt: skip
        line = next(line for line in text.splitlines() if line.startswith(f"#{key}:"))
        text = text.replace(line, f"{key}: {value}")
    file.write_text(text)
    done = cli("optimize", "--macs", "60%", "--json")
    assert done.exit_code == 0
    folder = tmp_path / "runs" / "resnet8-host-60pct"
    assert json.loads(done.stdout) == json.loads((folder / "result.json").read_text())
    same_network(folder, fast_run)


def same_network(one: Path, other: Path) -> None:
    """Both runs ended with the same widths and, bit by bit, the same weights."""
    assert (one / "widths.json").read_text() == (other / "widths.json").read_text()
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_resuming_a_finished_run_by_its_config_repeats_nothing(cli, fast_run, tmp_path):
    shutil.copytree(fast_run, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.is_file()}
    done = cli("optimize", "--config", "run/config.yaml", "-o", "run", "--resume", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads((fast_run / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path for path in (tmp_path / "run").rglob("*") if path.is_file()} == set(before)


@pytest.mark.slow
def test_config_of_a_run_replays_it(cli, fast_run, tmp_path):
    done = cli("optimize", "--config", fast_run / "config.yaml", "-o", "again", "--json")
    assert done.exit_code == 0
    same_network(tmp_path / "again", fast_run)
    keys = ("widths", "groups", "proof", "budget", "seed", "recipe")
    first, again = json.loads((fast_run / "result.json").read_text()), json.loads(done.stdout)
    assert {key: again[key] for key in keys} == {key: first[key] for key in keys}
    assert again["pruned"]["accuracy"] == first["pruned"]["accuracy"]


@pytest.mark.parametrize(
    "moment",
    [
        "epoch 2/8",
        pytest.param("Searching widths", marks=pytest.mark.slow),
        pytest.param("Converting and proving", marks=pytest.mark.slow),
        pytest.param("Measuring dense and pruned", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_leaves_a_run_that_resume_finishes(program, given, tmp_path, moment):
    words = ("optimize", *given, *RULE, "--epochs", "8", "--formats", "litert", "-o", "run", "--json")
    first = program(*words)
    for line in first.stderr:
        if moment in line:
            break
    os.killpg(first.pid, signal.SIGINT)
    out, err = first.communicate(timeout=120)
    assert first.returncode == 130, err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["exit_code"] == 130
    assert "--resume" in err
    assert (tmp_path / "run" / "state" / "dense.json").exists()
    assert not (tmp_path / "run" / "result.json").exists()

    second = program(*words, "--resume")
    out, err = second.communicate(timeout=900)
    assert second.returncode == 0, err
    assert "dense: val" not in err, "the dense stage was repeated"
    result = Result.model_validate_json(out)
    assert result.met
    epochs = [entry["epoch"] for entry in result.recovery.epochs]
    assert epochs == list(range(1, 9))
    if moment.startswith("epoch"):
        assert "epoch 1/8" not in err, "a finished epoch was repeated"
        assert "epoch 8/8" in err
    edgeprune.load(tmp_path / "run")


FULL = """
mount -t tmpfs -o size=$1k tmpfs disk || exit 99
shift
"$@"
echo "first $?"
find disk -name '*.partial'
mount -o remount,size=100m disk
"$@" --resume
echo "second $?"
"""


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [100, 360, 420, 500, 560])
def test_a_disk_that_fills_up_in_mid_run(given, tmp_path, kilobytes):
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "-m", "edgeprune", "optimize", *given, *RULE, *SHORT, "-o", "disk/run"]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", str(kilobytes), *command],
        capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    if "first" not in done.stdout:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    print(done.stdout, done.stderr)
    assert "first 3\n" in done.stdout
    assert ".partial" not in done.stdout
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr or "disk is full" in done.stderr
    assert "second 0\n" in done.stdout


def test_the_dense_network_is_not_touched(fast_run, trained):
    dense = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1)
    pruned = edgeprune.load(fast_run, dense)
    assert all(torch.equal(tensor, load_file(trained)[name]) for name, tensor in dense.state_dict().items())
    assert pruned.conv1.weight.shape[0] < dense.conv1.weight.shape[0]
