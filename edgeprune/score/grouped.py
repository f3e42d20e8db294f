"""Any criterion of single weights as a score of coupled channels (SPA, arXiv 2403.18955; methods.md section 12)."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.score.group import by_entry, parameters_of, prunable
from edgeprune.score.slopes import slopes
from edgeprune.task import Task

if TYPE_CHECKING:
    from edgeprune.graph import ChannelGroup, Coupling

AGGREGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda parts: parts.sum(1),
    "mean": lambda parts: parts.mean(1),
    "max": lambda parts: parts.amax(1),
    "l2": lambda parts: torch.linalg.vector_norm(parts, dim=1),
}
NORMALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda scores: scores,
    "sum": lambda scores: scores / scores.sum().clamp_min(1e-30),
    "mean": lambda scores: scores / scores.mean().clamp_min(1e-30),
    "max": lambda scores: scores / scores.max().clamp_min(1e-30),
}
CRITERIA_OF_WEIGHTS = ("l1", "l2", "snip")


def grouped(
    model: nn.Module,
    coupling: "Coupling",
    batches: Iterable[tuple[Any, Any]],
    task: Task | None,
    *,
    criterion: str = "l1",
    aggregate: str = "sum",
    normalise: str = "mean",
) -> dict[str, Tensor]:
    """Per group (units,): the criterion of every weight of every member slice, aggregated, then normalised.

    `criterion`: "l1" (|w|), "l2" (w squared) or "snip" (|w dL/dw|, summed over the batches). `aggregate`: sum, mean,
    max or l2 over all weights that go with the unit, consumers' included. `normalise`: none, sum, mean or max over the
    group's units, so that groups of different size can be compared. Raises UsageError on unknown names.
    """
    for found, known in (
        (criterion, CRITERIA_OF_WEIGHTS), (aggregate, tuple(AGGREGATES)), (normalise, tuple(NORMALISERS))
    ):  # fmt: skip
        if found not in known:
            raise UsageError(f"unknown setting {found!r} of the grouped score", f"use {', '.join(known)}")
    weights = _weights(model, batches, task, criterion)
    return {
        group.name: NORMALISERS[normalise](AGGREGATES[aggregate](_parts(group, weights)))
        for group in prunable(coupling)
    }


def _weights(
    model: nn.Module, batches: Iterable[tuple[Any, Any]], task: Task | None, criterion: str
) -> dict[str, Tensor]:
    """Parameter -> the criterion of each of its entries."""
    named = {name: parameter for name, parameter in parameters_of(model).items() if parameter.is_floating_point()}
    if criterion == "l1":
        return {name: parameter.detach().double().abs() for name, parameter in named.items()}
    if criterion == "l2":
        return {name: parameter.detach().double().square() for name, parameter in named.items()}
    totals = {name: torch.zeros_like(parameter, dtype=torch.float64) for name, parameter in named.items()}
    for found in slopes(model, batches, task):
        for name, parameter in named.items():
            slope = found[parameter]
            if slope is not None:
                totals[name] += (parameter * slope).detach().double().abs()
    return totals


def _parts(group: "ChannelGroup", weights: dict[str, Tensor]) -> Tensor:
    """(units, weights that go with each unit), over all members that are parameters."""
    rows = [
        by_entry(weights[m.param], m.axis)[m.index.cpu()].reshape(group.units, -1)
        for m in group.members
        if m.param in weights
    ]
    return torch.cat(rows, dim=1)
