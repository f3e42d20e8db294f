"""No class left behind: floors for the recall of every class, for data whose classes differ in number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.result import Requirement

_POINT, _ROUNDING = 0.01, 1e-9


@dataclass(frozen=True)
class ClassGuard:
    """The least recall that each class must keep on val; `asked` is the limit in the user's words."""

    asked: str
    class_names: tuple[str, ...]
    floors: tuple[float | None, ...]

    def worst(self, metrics: Mapping[str, Any]) -> tuple[str, float, float]:
        """(class, its recall, its floor) where the recall lies lowest above, or deepest below, its floor."""
        rows = zip(self.class_names, metrics["per_class_recall"], self.floors, strict=True)
        known = [(name, recall, floor) for name, recall, floor in rows if recall is not None and floor is not None]
        return min(known, key=lambda row: row[1] - row[2])

    def holds(self, metrics: Mapping[str, Any]) -> bool:
        """Whether no class lies below its floor."""
        _, recall, floor = self.worst(metrics)
        return recall >= floor

    def requirement(self, metrics: Mapping[str, Any]) -> Requirement:
        """The floor of the worst class as an entry of the budget."""
        name, recall, floor = self.worst(metrics)
        return Requirement(
            kind="class_recall",
            asked=self.asked,
            limit=100 * floor,
            achieved=100 * recall,
            unit="%",
            ratio=None,
            ratio_ci95=None,
            used=None,
            source="evaluated",
            met=recall >= floor,
            note=f"class {name!r}, the worst one, on val",
        )


def make_guard(
    min_recall: float | None, max_drop: float | None, dense: Mapping[str, Any], class_names: Sequence[str]
) -> ClassGuard | None:
    """Floors from a least recall (fraction) and from the points that a class may lose against `dense`, both if given.

    `dense`: the dense network's metrics on val. None if neither is given. Raises UsageError for a task without classes,
    and where the dense network itself lies below the least recall asked for.
    """
    if min_recall is None and max_drop is None:
        return None
    recalls = dense.get("per_class_recall")
    if not isinstance(recalls, list) or len(recalls) != len(class_names):
        raise UsageError(
            "Recall by class needs a classification task.", "Leave out --min-class-recall and --max-class-drop."
        )
    below = [
        f"{name} {recall:.0%}"
        for name, recall in zip(class_names, recalls, strict=True)
        if recall is not None and min_recall is not None and recall < min_recall
    ]
    if below:
        raise UsageError(
            f"The dense network itself misses a recall of {min_recall:.0%} on val: {', '.join(below)}.",
            "Ask for less, or for --max-class-drop.",
        )
    words = [f"{100 * min_recall:g}%"] if min_recall is not None else []
    words += [f"{max_drop:g} points below dense"] if max_drop is not None else []
    return ClassGuard(
        " and ".join(words), tuple(class_names), tuple(_floor(min_recall, max_drop, recall) for recall in recalls)
    )


def _floor(min_recall: float | None, max_drop: float | None, dense: float | None) -> float | None:
    """The higher of the two; None for a class that val does not hold."""
    if dense is None:
        return None
    return max(min_recall or 0.0, 0.0 if max_drop is None else dense - max_drop * _POINT - _ROUNDING)
