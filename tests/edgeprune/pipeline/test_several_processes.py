"""A run whose trainings several processes do: the same network, also when one of them is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import edgeprune
from edgeprune.config import make_config
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.pipeline import launch as launching
from edgeprune.pipeline.job import job_from_config
from edgeprune.pipeline.launch import launch
from edgeprune.pipeline.trainings import RECOVER, Order, carry_out
from edgeprune.progress import LoggedProgress

ROOT = Path(__file__).parents[3]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
MODEL = "builtin:resnet8"


class Noted(LoggedProgress):
    """Keeps notes, and calls `then` at each."""

    def __init__(self, then=lambda _: None):
        self.notes, self.then = [], then

    def note(self, text):
        self.notes.append(text)
        self.then(text)


def order(fast, tmp_path, name="trained", **changes):
    """A recovery of resnet8 at half the channels; also the job that does it in this process."""
    job = job_from_config(make_config({**fast, "model": MODEL, **changes}), LoggedProgress())
    traced, coupling = job.groups()
    _, widths = edgeprune.prune(job.model, job.example_inputs, ratio=0.5)
    where = {key: str(tmp_path / f"{name}.{key}") for key in ("checkpoint", "weights", "removed")}
    return Order(RECOVER, job.config.model_dump(), widths.to_json(), **where), (job, traced, coupling)


def workers():
    """The processes that train for this test process: pid by rank."""
    agents = [pid for pid in _children(os.getpid()) if b"torch.distributed.run" in _words(pid)]
    return {rank: pid for agent in agents for rank, pid in _ranks(agent, b"edgeprune.pipeline.worker").items()}


def _ranks(agent, word):
    """Those that an elastic agent started, with a word in their command: pid by rank."""
    found = {}
    for pid in _children(agent):
        if word in _words(pid):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found[next(int(v.removeprefix(b"RANK=")) for v in variables if v.startswith(b"RANK="))] = pid
    return found


def _children(parent):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def _words(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def trained_with_a_loss(given, log):
    """The answer to an order for three epochs, a process of which is killed in the second; and the notes."""
    killed = []

    def kill(text):
        if text.startswith("epoch 1/3") and not killed:
            killed.append(workers()[1])
            os.kill(killed[0], signal.SIGKILL)

    progress = Noted(kill)
    answer = launch(asdict(given), 2, log, progress)
    assert len(killed) == 1
    return answer, progress.notes


def test_a_killed_process_costs_an_epoch_at_most(fast, tmp_path):
    """At a learning rate at which rounding does not grow, the result is that of one process."""
    apart, _ = order(fast, tmp_path, "apart", epochs=3, lr=0.003, devices=2)
    alone, (job, traced, coupling) = order(fast, tmp_path, "alone", epochs=3, lr=0.003)
    answer, notes = trained_with_a_loss(apart, tmp_path / "log")
    assert answer["processes"] == {
        "devices": 2, "nodes": 1, "world_size": 2, "accelerator": "cpu", "precision": "32", "restarts": 1,
    }  # fmt: skip
    epochs = [note.split(":")[0] for note in notes if note.startswith("epoch")]
    assert epochs == [f"epoch {number}/3" for number in (1, 2, 3)], "an epoch was done again or left out"
    assert any("a process was lost" in note for note in notes)
    own = carry_out(job, traced, coupling, alone)
    assert own["processes"]["world_size"] == 1
    for theirs, ours in zip(answer["epochs"], own["epochs"], strict=True):
        assert theirs["epoch"] == ours["epoch"]
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=2e-3)
    assert answer["after"]["accuracy"] == pytest.approx(own["after"]["accuracy"], abs=0.015)
    assert (tmp_path / "apart.removed").read_text() == (tmp_path / "alone.removed").read_text()
    ends = [load_file(tmp_path / f"{name}.weights") for name in ("apart", "alone")]
    assert all(torch.allclose(ends[0][key].float(), ends[1][key].float(), atol=0.01, rtol=0.01) for key in ends[1])


@pytest.mark.slow
def test_after_a_loss_the_weights_are_those_of_a_training_that_lost_nothing(fast, tmp_path):
    lost, _ = order(fast, tmp_path, "lost", epochs=3, devices=2)
    whole, _ = order(fast, tmp_path, "whole", epochs=3, devices=2)
    trained_with_a_loss(lost, tmp_path / "log")
    launch(asdict(whole), 2, tmp_path / "log", Noted())
    ends = [load_file(tmp_path / f"{name}.weights") for name in ("lost", "whole")]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[1])


@pytest.mark.slow
def test_an_error_of_the_users_is_told_and_not_tried_again(fast, tmp_path):
    wrong, _ = order(fast, tmp_path, lr=1e30, devices=2)
    progress = Noted()
    with pytest.raises(edgeprune.EdgePruneError, match="the loss became") as caught:
        launch(asdict(wrong), 2, tmp_path / "log", progress)
    assert caught.value.exit_code == UsageError.exit_code
    assert "learning rate" in caught.value.cure
    assert not any("lost" in note for note in progress.notes)


@pytest.mark.slow
def test_a_group_that_is_lost_again_and_again_is_given_up(fast, tmp_path, monkeypatch):
    monkeypatch.setattr(launching, "RESTARTS", 1)
    losing, _ = order(fast, tmp_path, epochs=50, devices=2)

    def kill(text):
        if text.startswith("epoch"):
            os.kill(workers()[0], signal.SIGKILL)

    progress = Noted(kill)
    with pytest.raises(EnvironmentProblem, match="after 1 restarts at most") as caught:
        launch(asdict(losing), 2, tmp_path / "log", progress)
    assert "--resume" in caught.value.cure
    assert (tmp_path / "trained.checkpoint").exists()
    assert workers() == {}


RUN = ("--model", MODEL, "--data", "builtin:digits", "--macs", "60%", "--allocate", "uniform", "--formats", "litert")


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_whole_runs_by_devices_by_torchrun_and_by_one_process(program, trained, tmp_path):
    words = (*RUN, "--weights", trained, "--epochs", "3", "--control", "scratch", "--schedule", "gradual")

    def finished(name, *more, start=program):
        done = start("optimize", *words, "-o", name, *more)
        _, stderr = done.communicate()
        assert done.returncode == 0, stderr
        return result(tmp_path / name)

    def torchrun(*more):
        return subprocess.Popen(
            [*TORCHRUN, "-m", "edgeprune", *map(str, more)], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    one, two, led = finished("one"), finished("two", "--devices", "2"), finished("led", start=torchrun)
    for other in (two, led):
        assert other.keys() == one.keys()
        assert other["widths"] == one["widths"]
        assert other["groups"] == one["groups"]
        assert [entry["epoch"] for entry in other["recovery"]["epochs"]] == [1, 2, 3]
        for entry in (other["recovery"], *other["controls"]):
            assert entry["processes"]["world_size"] == 2
        assert abs(other["pruned"]["accuracy"] - one["pruned"]["accuracy"]) < 0.04
        assert [c["name"] for c in other["controls"]] == [c["name"] for c in one["controls"]]
    same = [load_file(tmp_path / name / "model.safetensors") for name in ("two", "led")]
    assert all(torch.equal(same[0][key], same[1][key]) for key in same[0]), "two processes are two, however started"


@pytest.mark.slow
def test_the_processes_end_with_a_run_that_is_killed_and_one_process_finishes_it(program, trained, tmp_path):
    words = (*RUN, "--weights", trained, "--epochs", "12", "-o", "run")
    running = program("optimize", *words, "--devices", "2")
    checkpoint = tmp_path / "run" / "state" / "train-0.checkpoint"
    until = time.monotonic() + 300
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.2)
    assert checkpoint.exists()
    started = [int(p.name) for p in Path("/proc").glob("[0-9]*") if _in(p, str(tmp_path))]
    running.kill()
    running.communicate()
    until = time.monotonic() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < until:
        time.sleep(0.2)
    assert len(started) > 2, "there was nothing to end"
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()], "processes outlived the run"
    done = program("optimize", *words, "--resume")
    _, stderr = done.communicate()
    assert done.returncode == 0, stderr
    assert [entry["epoch"] for entry in result(tmp_path / "run")["recovery"]["epochs"]] == list(range(1, 13))
    assert result(tmp_path / "run")["recovery"]["processes"]["world_size"] == 1


def _in(process, folder):
    """Whether a process works in a folder."""
    try:
        return (process / "cwd").readlink() == Path(folder)
    except OSError:
        return False


@pytest.mark.slow
def test_torchrun_starts_a_run_again_and_it_goes_on(trained, tmp_path):
    """A process that serves is killed in mid-training: torchrun ends the leader too, and both come back."""
    words = (*RUN, "--weights", str(trained), "--epochs", "6", "-o", "run")
    running = subprocess.Popen(
        [*TORCHRUN, "--max-restarts", "1", "-m", "edgeprune", "optimize", *words], cwd=tmp_path, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines, killed = [], []
    for line in running.stderr:
        lines.append(line)
        if "epoch 2/6" in line and not killed:
            killed.append(_ranks(running.pid, b"optimize")[1])
            os.kill(killed[0], signal.SIGKILL)
    assert running.wait() == 0, "".join(lines)
    assert len(killed) == 1
    found = result(tmp_path / "run")["recovery"]
    assert found["processes"]["restarts"] == 1
    assert [entry["epoch"] for entry in found["epochs"]] == [1, 2, 3, 4, 5, 6]
    told = [line.split(":")[0].strip() for line in lines if line.strip().startswith("epoch ")]
    assert told == [f"epoch {number}/6" for number in range(1, 7)], "an epoch was done again or left out"
    assert sum("Dense baseline" in line for line in lines) == 2
    assert sum("dense: val accuracy" in line for line in lines) == 1, "a finished stage was done again"
