"""Recall by class as a limit: floors by hand, refusals, and whole runs that keep or miss it."""

import json
from collections.abc import Callable

import pytest

from edgeprune.errors import UsageError
from edgeprune.guard import make_guard
from edgeprune.recover.finetune import Epoch, best_of

NAMES = ("boot", "coat", "shirt")
DENSE = {"per_class_recall": [0.9, 0.8, None]}


def test_the_higher_floor_counts() -> None:
    guard = make_guard(0.75, 10, DENSE, NAMES)
    assert guard is not None
    assert guard.floors[:2] == pytest.approx((0.8, 0.75))
    assert guard.floors[2] is None, "a class without images on val has no recall"
    assert guard.asked == "75% and 10 points below dense"


def test_the_class_nearest_to_its_floor_is_the_worst() -> None:
    guard = make_guard(None, 10, DENSE, NAMES)
    assert guard is not None
    name, recall, floor = guard.worst({"per_class_recall": [0.85, 0.72, None]})
    assert (name, recall, floor) == ("coat", 0.72, pytest.approx(0.7))
    assert guard.holds({"per_class_recall": [0.8, 0.7, None]}), "exactly ten points are not more than ten"
    assert not guard.holds({"per_class_recall": [0.79, 0.8, None]})
    entry = guard.requirement({"per_class_recall": [0.5, 0.8, None]})
    assert (entry.kind, entry.met, entry.achieved, entry.source) == ("class_recall", False, 50.0, "evaluated")
    assert "'boot'" in entry.note


def test_nothing_asked_is_no_guard() -> None:
    assert make_guard(None, None, {}, ()) is None


def test_what_the_dense_network_does_not_reach_is_refused() -> None:
    with pytest.raises(UsageError, match=r"misses a recall of 85% on val: coat 80%"):
        make_guard(0.85, None, DENSE, NAMES)


def test_a_task_without_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="classification"):
        make_guard(0.5, None, {"iou": 0.4}, ())


def test_an_epoch_that_keeps_every_class_is_better_than_a_higher_score() -> None:
    guard = make_guard(0.6, None, DENSE, NAMES)
    assert guard is not None
    history = [
        Epoch(0, None, {"accuracy": 0.70, "per_class_recall": [0.9, 0.5, None]}),
        Epoch(1, 1.0, {"accuracy": 0.80, "per_class_recall": [0.7, 0.7, None]}),
        Epoch(2, 1.0, {"accuracy": 0.90, "per_class_recall": [1.0, 0.5, None]}),
    ]
    assert best_of(history, "accuracy").epoch == 2
    assert best_of(history, "accuracy", guard.holds).epoch == 1
    assert best_of(history[:1], "accuracy", guard.holds).epoch == 0


@pytest.mark.parametrize(("epochs", "code"), [(4, 0), (0, 4)])
def test_a_run_that_keeps_or_loses_a_class(
    cli: Callable[..., object], given: list[str], epochs: int, code: int
) -> None:
    """Trained, every digit is known again; untrained after pruning to a quarter, some digit is not."""
    words = ["--macs", "25%", "--allocate", "uniform", "--formats", "litert", "--epochs", epochs]
    done = cli("optimize", *given, *words, "--max-class-drop", "30", "--json", "-o", "run")
    assert done.exit_code == code, done.stderr
    requirement = json.loads(done.stdout)["budget"]["requirements"][-1]
    assert (requirement["kind"], requirement["met"]) == ("class_recall", code == 0)
    assert requirement["asked"] == "30 points below dense"
