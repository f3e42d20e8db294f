"""Layer densities by name: the first half of PreCropping (reference/methods.md 2.3, step A)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from edgeprune.allocate.closed_form import water_fill
from edgeprune.allocate.erk import erk
from edgeprune.allocate.grasp import grasp
from edgeprune.allocate.masks import densities_of, global_mask
from edgeprune.allocate.sizes import dense_channels, macs
from edgeprune.allocate.snip import snip
from edgeprune.allocate.synflow import synflow
from edgeprune.errors import UsageError
from edgeprune.graph import Coupling
from edgeprune.task import Task

NAMES = ("closed-form", "closed-form-macs", "erk", "uniform", "synflow", "snip", "grasp")


def densities(
    name: str,
    model: nn.Module,
    coupling: Coupling,
    density: float,
    *,
    example_inputs: tuple[Tensor, ...] = (),
    batches: Sequence[tuple[Any, Any]] = (),
    task: Task | None = None,
) -> dict[str, float]:
    """Density of each layer (by `Layer.name`) for an overall density of weights (of MACs for "closed-form-macs").

    `batches` of (inputs, targets) and `task` are needed by "snip" and "grasp", `example_inputs` by "synflow".
    Raises UsageError for an unknown name or missing data.
    """
    shapes = {layer.name: tuple(model.get_parameter(layer.weight).shape) for layer in coupling.layers}
    parameters = {layer.name: layer.weight for layer in coupling.layers}
    names = sorted(set(parameters.values()))
    if name in ("snip", "grasp"):
        if not batches or task is None:
            raise UsageError(f"densities by {name} need labelled batches and a task", "pass batches= and task=")
        scores = (snip if name == "snip" else grasp)(model, names, batches, task)
        kept = densities_of(global_mask(scores, density))
    elif name == "synflow":
        if not example_inputs:
            raise UsageError("densities by synflow need the input's shape", "pass example_inputs=")
        kept = densities_of(synflow(model, names, example_inputs, density))
    else:
        return _without_scores(name, coupling, shapes, density)
    return {layer: kept[parameter] for layer, parameter in parameters.items()}


def _without_scores(
    name: str, coupling: Coupling, shapes: dict[str, tuple[int, ...]], density: float
) -> dict[str, float]:
    if name == "erk":
        return erk(shapes, density)
    if name == "uniform":
        return dict.fromkeys(shapes, density)
    if name == "closed-form":
        sizes = {layer: float(_numel(shape)) for layer, shape in shapes.items()}
        return water_fill(sizes, density * sum(sizes.values()))
    if name == "closed-form-macs":
        sizes = {layer.name: float(macs(layer, *dense_channels(layer))) for layer in coupling.layers}
        return water_fill(sizes, density * sum(sizes.values()))
    raise UsageError(f"no densities are called {name!r}", f"choose from {', '.join(NAMES)}")


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
