"""Several latency budgets in one go: a run each, a front, and what happens to budgets that cannot be met."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAST = ("--allocate", "uniform", "--formats", "litert", "--epochs", "1")


def test_three_budgets_of_which_one_is_below_the_floor(
    cli: Callable[..., Any], given: list[str], tmp_path: Path
) -> None:
    done = cli("optimize", *given, *FAST, "--latency", "45%,1%,95%", "-o", "front", "--json")
    assert done.exit_code == 4, done.stderr
    told = json.loads(done.stdout)
    assert [point["asked"] for point in told["points"]] == ["95%", "45%", "1%"]
    wide, narrow, none = told["points"]
    assert wide["met"]
    assert narrow["met"]
    assert narrow["ms"] < wide["ms"] < told["dense_ms"]
    assert narrow["macs"] < wide["macs"]
    assert (none["met"], none["path"]) == (False, None)
    assert "floor" in none["outcome"]
    assert (tmp_path / "front" / "45pct" / "artifacts" / "pruned.tflite").exists()
    assert not (tmp_path / "front" / "1pct").exists()
    assert json.loads((tmp_path / "front" / "front.json").read_text()) == told
    assert "on val over latency (measured)" in (tmp_path / "front" / "front.html").read_text()
    again = cli("optimize", *given, *FAST, "--latency", "45%,95%", "-o", "front", "--resume")
    assert again.exit_code == 0, again.stderr
    assert again.stderr.count("nothing was left to do") == 2
    assert "95%" in again.stdout


@pytest.mark.parametrize(
    ("latency", "said"), [("50%,50%", "twice"), ("50%,20ms", "mixes"), ("50%,fast", "cannot be read")]
)
def test_budgets_that_make_no_front(cli: Callable[..., Any], given: list[str], latency: str, said: str) -> None:
    done = cli("optimize", *given, "--latency", latency)
    assert done.exit_code == 2
    assert said in done.stderr


def test_plan_looks_at_one(cli: Callable[..., Any], given: list[str]) -> None:
    assert cli("optimize", *given, "--latency", "50%,40%", "--plan").exit_code == 2
