"""How much a channel matters: one small file a criterion, and a registry by name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError
from edgeprune.score.beta_rank import beta_rank
from edgeprune.score.bn_scale import bn_scale
from edgeprune.score.chance import chance
from edgeprune.score.fluctuation import fluctuation
from edgeprune.score.grouped import grouped
from edgeprune.score.magnitude import magnitude
from edgeprune.score.taylor import taylor
from edgeprune.sources.user_code import load_object

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.graph import Coupling
    from edgeprune.task import Task

Scores = dict[str, "Tensor"]


def _l1(model: "nn.Module", coupling: "Coupling") -> Scores:
    return magnitude(model, coupling, p=1)


def _l2(model: "nn.Module", coupling: "Coupling") -> Scores:
    return magnitude(model, coupling, p=2)


CRITERIA: dict[str, Callable[..., Scores]] = {
    "beta-rank": beta_rank,
    "l1": _l1,
    "l2": _l2,
    "bn-scale": bn_scale,
    "taylor": taylor,
    "random": chance,
    "grouped": grouped,
    "flap": fluctuation,
}


def score(
    name: str,
    model: "nn.Module",
    coupling: "Coupling",
    batches: Iterable[tuple[Any, Any]],
    task: "Task | None" = None,
    *,
    seed: int = 0,
    **settings: Any,
) -> Scores:
    """Scores (units,) of every group that can be pruned, by the criterion of that name; higher is kept longer.

    Settings: beta-rank takes direction ("code" or "paper") and class_balanced (bool), grouped takes criterion,
    aggregate and normalise, flap takes metric. `seed` matters to random, `task` to taylor and grouped; l1, l2, bn-scale
    and random need no batches. The model is left as it was. Raises UsageError on an unknown name or setting.
    """
    criterion = criterion_of(name, settings)
    parameters = inspect.signature(criterion).parameters
    offered = {"model": model, "coupling": coupling, "batches": batches, "task": task, "seed": seed}
    found: Scores = criterion(**{key: value for key, value in offered.items() if key in parameters}, **settings)
    return found


def criterion_of(name: str, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """The criterion of that name. Raises UsageError if there is none, or if it has no such settings."""
    criterion = CRITERIA.get(name) or (load_object(name) if ".py:" in name else None)
    if criterion is None:
        close = get_close_matches(name, CRITERIA, n=1)
        raise UsageError(
            f"unknown criterion {name!r}", f"{f'did you mean {close[0]}? ' if close else ''}Use {', '.join(CRITERIA)}"
        )
    parameters = inspect.signature(criterion).parameters
    accepted = [key for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY and key != "seed"]
    unknown = [key for key in settings if key not in accepted]
    if unknown:
        raise UsageError(f"{name} has no setting {unknown[0]!r}", f"it takes: {', '.join(accepted) or 'no settings'}")
    return criterion
