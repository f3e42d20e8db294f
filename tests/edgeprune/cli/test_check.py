"""`edgeprune check`: a finished run that keeps its promises passes, one that does not ends with code 4."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from profilers.exchange import listing
from profilers.store import Store

Cli = Callable[..., Result]


@pytest.fixture
def copy(fast_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    return Path(shutil.copytree(fast_run, tmp_path / "run"))


def test_a_run_that_holds(cli: Cli, copy: Path) -> None:
    done = cli("check", copy, "--latency", "10s", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    kinds = {r["kind"]: r for r in found["requirements"]}
    assert kinds["latency"]["source"] == "measured"
    assert kinds["macs"]["source"] == "counted"
    assert all(r["met"] for r in found["requirements"])
    assert [row["name"] for row in listing(Store())] == ["run/dense.tflite", "run/pruned.tflite"], "in the store, too"
    assert found["accuracy"]["now"] == pytest.approx(found["accuracy"]["recorded"], abs=0.005)


def test_a_budget_that_is_no_longer_met(cli: Cli, copy: Path) -> None:
    done = cli("check", copy, "--latency", "0.001us", "--no-accuracy")
    assert done.exit_code == 4
    assert "FAIL latency" in done.stdout
    assert re.search(r"[\d.]+ ms of at most [\d.e-]+ ms", done.stdout)
    assert "ok   macs" in done.stdout


def test_an_accuracy_that_is_no_longer_reached(cli: Cli, copy: Path) -> None:
    file = copy / "result.json"
    result = json.loads(file.read_text())
    result["pruned"]["metrics"]["accuracy"] += 0.02
    file.write_text(json.dumps(result))
    done = cli("check", copy, "--latency", "10s")
    assert done.exit_code == 4
    assert "FAIL accuracy" in done.stdout
    assert "ok   latency" in done.stdout
    assert cli("check", copy, "--latency", "10s", "--drop", "0.05").exit_code == 0


@pytest.mark.parametrize(("points", "code"), [(100, 0), (0, 4)])
def test_the_recall_of_every_class_is_looked_at_again(cli: Cli, copy: Path, points: float, code: int) -> None:
    """One epoch at 60 % of the MACs: some digit is known less well than by the dense network."""
    file = copy / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"max_class_drop": points}))
    done = cli("check", copy, "--latency", "10s", "--json")
    assert done.exit_code == code, done.stderr
    (classes,) = [r for r in json.loads(done.stdout)["requirements"] if r["kind"] == "class_recall"]
    assert classes["met"] == (code == 0)


def test_files_that_were_changed_and_runs_that_are_none(cli: Cli, copy: Path, tmp_path: Path) -> None:
    with (copy / "artifacts/pruned.tflite").open("ab") as file:
        file.write(b"x")
    changed = cli("check", copy, "--latency", "10s")
    assert changed.exit_code == 2
    assert "was changed" in " ".join(changed.stderr.split())
    (tmp_path / "empty").mkdir()
    assert cli("check", tmp_path / "empty").exit_code == 2


def test_a_run_of_python_objects_says_what_to_do(cli: Cli, copy: Path) -> None:
    settings = yaml.safe_load((copy / "config.yaml").read_text())
    (copy / "config.yaml").write_text(yaml.safe_dump({**settings, "model": None}))
    done = cli("check", copy, "--latency", "10s")
    assert done.exit_code == 2
    assert "--no-accuracy" in done.stderr
