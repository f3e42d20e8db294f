"""`edgeprune compare`: what it refuses, and two real runs side by side."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result


def test_what_is_no_run_is_told(cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words in (["empty"], ["nowhere"]):
        done = cli("compare", *words)
        assert done.exit_code == 2
        assert "is not a finished run" in done.stderr
    assert cli("compare").exit_code == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]


def test_runs_on_other_data_and_a_run_twice_are_refused(
    cli: Callable[..., Result], fast_run: Path, tmp_path: Path
) -> None:
    done = cli("compare", fast_run, fast_run)
    assert done.exit_code == 2
    assert "is given twice" in done.stderr
    other = shutil.copytree(fast_run, tmp_path / "other")
    found = json.loads((other / "result.json").read_text())
    found["data"]["name"] = "letters"
    (other / "result.json").write_text(json.dumps(found))
    done = cli("compare", fast_run, other)
    assert done.exit_code == 2
    assert "digits and letters" in done.stderr


OWN = """
from edgeprune.sources.digits import load

def digits():
    parts = load([0.5], [1.0], 0)  # -0.5 to 0.5
    return {name: getattr(parts, name) for name in ("train", "val", "test")}

def told():
    return {**digits(), "mean": [0.5], "std": [1.0]}
"""


def test_values_that_are_no_pictures_are_not_corrupted(
    cli: Callable[..., Result], fast_run: Path, tmp_path: Path
) -> None:
    """Clamped to [0, 1] they would be other images, and every accuracy a wrong one."""
    (tmp_path / "own.py").write_text(OWN)
    for function, asked in (("digits", False), ("told", True)):
        run = shutil.copytree(fast_run, tmp_path / function)
        config = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(config.replace("data: builtin:digits", f"data: own.py:{function}"))
        done = cli("compare", run, "--images", "40", "--json")
        assert done.exit_code == 0, done.stderr
        found = json.loads(done.stdout)
        assert bool(found.get("networks")) is asked
        assert ("from -0.5 to 0.5 and tells no mean" in json.dumps(found)) is not asked


def test_a_run_is_compared_with_its_dense_network(cli: Callable[..., Result], fast_run: Path, tmp_path: Path) -> None:
    twin = shutil.copytree(fast_run, tmp_path / "twin")
    done = cli("compare", fast_run, twin, "--images", "1000", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    result = json.loads((fast_run / "result.json").read_text())
    name = fast_run.name
    assert found["images"] == result["data"]["sizes"][result["data"]["final_split"]]
    assert found["pairs"] == {
        name: {"dense": "dense", "pruned": f"{name}, pruned"},
        "twin": {"dense": "dense", "pruned": "twin, pruned"},
    }
    networks = found["networks"]
    assert networks["dense"]["accuracy"] == pytest.approx(result["dense"]["accuracy"])
    assert networks["twin, pruned"]["accuracy"] == pytest.approx(result["pruned"]["accuracy"])
    assert networks["twin, pruned"] == networks[f"{name}, pruned"]
    assert networks["dense"] != networks["twin, pruned"]
    assert not (tmp_path / "compare.html").exists()

    done = cli("compare", fast_run, "--images", "50", "-o", "page.html")
    assert done.exit_code == 0, done.stderr
    assert "corrupted" in done.stdout.lower()
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
