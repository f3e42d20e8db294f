"""Several latency budgets in one go: a run each, a front, and what happens to budgets that cannot be met."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from edgeprune.answers import Front, FrontPoint
from edgeprune.pipeline.fastest import bisect
from edgeprune.pipeline.front import pareto_budgets

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
    assert narrow["ratio"] <= 0.45
    assert narrow["macs"] <= wide["macs"], "on a busy machine 95 % may not be had with more than the narrow widths"
    assert (none["met"], none["path"]) == (False, None)
    assert "floor" in none["outcome"]
    assert (tmp_path / "front" / "45pct" / "artifacts" / "pruned.tflite").exists()
    assert not (tmp_path / "front" / "1pct").exists()
    assert json.loads((tmp_path / "front" / "front.json").read_text()) == told
    same = cli("optimize", *given, *FAST, "--latency", "45%,1%,95%", "-o", "front", "--resume", "--json")
    assert json.loads(same.stdout) == told
    assert "Searching" not in same.stderr, "what lies below the floor is known"
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


def asked(held: float, runs: int = 4, gain: float = 1.0) -> list[float]:
    """The shares that a bisection asks for where every latency from `held` of dense on loses little enough."""
    shares: list[float] = []

    def tried(share: float) -> float | None:
        shares.append(share)
        return gain * share if share >= held else None

    bisect(tried, runs)
    return shares


def test_bisection_by_hand() -> None:
    assert asked(0.4) == [0.5, 0.3, 0.39, 0.44]  # 0.6 * 0.5; sqrt(0.5 * 0.3); sqrt(0.5 * 0.39)
    assert asked(0.0) == [0.5, 0.3, 0.18, 0.11]
    assert asked(2.0) == [0.5, 0.71, 0.84, 0.92]


@given_(st.floats(0.1, 0.95), st.integers(1, 12), st.floats(0.9, 1.0))
def test_the_answer_is_as_close_as_the_runs_allow(held: float, runs: int, gain: float) -> None:
    shares = asked(held, runs, gain)
    assert len(shares) <= runs
    assert len(set(shares)) == len(shares)
    if runs == 12:
        fits = [share for share in shares if share >= held]
        assert min(fits, default=1.0) * gain <= 1.1 * held + 0.01


def test_budgets_of_a_pareto_front() -> None:
    assert pareto_budgets(0.05, 4) == ["80%", "40%", "20%", "10%"]
    assert pareto_budgets(0.2, 2) == ["80%", "22%"]
    assert pareto_budgets(0.9, 3) == ["80%"]


def test_the_fastest_within_a_drop(cli: Callable[..., Any], given: list[str], tmp_path: Path) -> None:
    """Any drop is allowed: of at most four runs the fastest that kept its budget is chosen."""
    done = cli("optimize", *given, *FAST, "--max-drop", "100", "-o", "out", "--json")
    told = json.loads(done.stdout)
    held = [point for point in told["points"] if point["met"]]
    assert 1 <= len({point["asked"] for point in told["points"]}) == len(told["points"]) <= 4
    assert done.exit_code == 0, done.stderr
    assert told["chosen"] == min(held, key=lambda point: point["ratio"])["asked"]
    assert (tmp_path / "out" / told["chosen"].replace("%", "pct") / "model.safetensors").exists()
    again = cli("optimize", *given, *FAST, "--max-drop", "100", "-o", "out", "--resume")
    assert again.exit_code == 0, again.stderr
    assert again.stderr.count("nothing was left to do") == sum(point["path"] is not None for point in told["points"])
    assert "The fastest with at most 100 points" in " ".join(again.stdout.split())


@pytest.mark.parametrize(
    ("max_drop", "chosen", "runs"), [(None, None, ["a", "c"]), (1.0, "50%", ["c"]), (1.0, None, [])]
)
def test_what_of_a_front_is_shipped(max_drop: float | None, chosen: str | None, runs: list[str]) -> None:
    places = {"80%": "a", "60%": None, "50%": "c"}
    points = [FrontPoint(asked=k, met=v is not None, outcome="", path=v) for k, v in places.items()]
    front = Front(model="", primary_metric="", kind="measured", dense_ms=None, dense_metric=None, points=points,
                  max_drop=max_drop, chosen=chosen)  # fmt: skip
    assert front.delivered() == [Path(run) for run in runs]


@pytest.mark.slow
def test_a_pareto_front_asks_again_for_the_same_budgets(
    cli: Callable[..., Any], given: list[str], tmp_path: Path
) -> None:
    done = cli("optimize", *given, *FAST, "--pareto", "2", "-o", "out", "--json")
    told = json.loads(done.stdout)
    budgets = json.loads((tmp_path / "out" / "budgets.json").read_text())["budgets"]
    assert [point["asked"] for point in told["points"]] == budgets
    assert budgets[0] == "80%"
    again = cli("optimize", *given, *FAST, "--pareto", "2", "-o", "out", "--resume", "--json")
    assert [point["asked"] for point in json.loads(again.stdout)["points"]] == budgets
    assert "Measuring the floor" not in again.stderr


def test_a_front_of_another_number_is_not_resumed(cli: Callable[..., Any], given: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "budgets.json").write_text('{"pareto": 3, "budgets": ["80%", "50%", "30%"]}')
    done = cli("optimize", *given, "--pareto", "5", "-o", "out", "--resume")
    assert done.exit_code == 2
    assert "--pareto 3" in done.stderr


@pytest.mark.parametrize("question", [("--pareto", "2"), ("--max-drop", "1"), ("--latency", "50%,40%")])
def test_a_front_is_not_begun_where_one_is(
    cli: Callable[..., Any], given: list[str], tmp_path: Path, question: tuple[str, ...]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "budgets.json").write_text('["80%", "30%"]')
    done = cli("optimize", *given, *question, "-o", "out")
    assert done.exit_code == 2
    assert "--resume" in done.stderr
    assert (tmp_path / "out" / "budgets.json").read_text() == '["80%", "30%"]'


@pytest.mark.parametrize("both", [("--latency", "50%", "--max-drop", "1"), ("--pareto", "3", "--max-drop", "1")])
def test_two_questions_at_once(cli: Callable[..., Any], given: list[str], both: tuple[str, ...]) -> None:
    done = cli("optimize", *given, *both)
    assert done.exit_code == 2
    assert "two questions" in done.stderr
