"""`--log tensorboard`: the event files hold what the run found, and a resumed run may be watched or not."""

import json
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import edgeprune
from edgeprune.config import make_config
from edgeprune.curves import FOLDER
from edgeprune.errors import EnvironmentProblem
from edgeprune.preflight import check
from edgeprune.run import Run


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every curve that a run left."""
    events = EventAccumulator(str(run / FOLDER), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_curves_of_a_run_are_its_numbers(fast: dict, tmp_path: Path) -> None:
    settings = {**fast, "epochs": 2, "recipe": "l1", "allocate": "uniform"}
    result = edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", log="tensorboard", **settings)
    found = curves(tmp_path / "run")
    assert result.recovery is not None
    epochs = result.recovery.epochs
    assert [value for _, value in found["training/val accuracy"][1:]] == pytest.approx([e["accuracy"] for e in epochs])
    assert [step for step, _ in found["training/val accuracy"]] == [0, 1, 2]
    steps = [step for step, _ in found["training/loss"]]
    assert steps == list(range(1, len(steps) + 1))
    half = len(steps) // 2
    losses = [value for _, value in found["training/loss"]]
    assert [sum(losses[:half]) / half, sum(losses[half:]) / half] == pytest.approx(
        [e["loss"] for e in epochs], rel=1e-4
    )
    assert found["dense/accuracy"] == [(0, pytest.approx(result.dense.accuracy))]
    assert found["pruned/accuracy"] == [(0, pytest.approx(result.pruned.accuracy))]
    assert found["pruned/latency_ms"] == [(0, pytest.approx(result.pruned.latency_ms.median))]
    macs = next(values for tag, values in found.items() if tag.startswith("search") and tag.endswith("/macs"))
    assert macs[-1][1] == pytest.approx(result.pruned.macs)


def test_without_the_flag_there_are_none(fast_run: Path) -> None:
    assert not (fast_run / FOLDER).exists()


def test_a_run_may_be_watched_from_its_resumption_on(tmp_path: Path) -> None:
    plain = {"model": "builtin:resnet8", "macs": "50%"}
    Run.open(tmp_path / "run", make_config(plain), resume=False).close()
    Run.open(tmp_path / "run", make_config({**plain, "log": "tensorboard"}), resume=True).close()


def test_a_missing_tensorboard_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    config = make_config({"model": "m", "data": "d", "macs": "50%", "target": "ios", "log": "tensorboard"})
    with pytest.raises(EnvironmentProblem) as told:
        check(config)
    assert 'pip install "edgeprune[tensorboard]"' in told.value.cure


def test_the_flag_reaches_the_run(cli, given, tmp_path: Path) -> None:
    done = cli(
        "optimize", *given, "--macs", "100%", "--formats", "litert", "--log", "tensorboard", "-o", "run", "--json"
    )
    assert done.exit_code == 0, done.stderr
    found = curves(tmp_path / "run")
    assert found["dense/accuracy"] == [(0, pytest.approx(json.loads(done.stdout)["dense"]["accuracy"]))]
    assert "training/loss" not in found
