"""Beta-Rank (arXiv 2304.07461): a filter's L1 norm times a ratio of standard deviations between its input and output.

The published equation has input over output, the published code output over input: both are here, the code's is the
default. Unlike the code, the window is the layer's true receptive field, and all batches count, not the last alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.observe import show
from edgeprune.score.deviation import Deviations, Scored
from edgeprune.score.group import OUT_AXIS, min_max, owner, parameters_of, per_unit, producers, prunable
from edgeprune.score.magnitude import filter_norms

if TYPE_CHECKING:
    from edgeprune.graph import Coupling

Direction = Literal["code", "paper"]
Batches = Iterable[tuple[Any, Any]]
EPSILON = 1e-6
DEAD = 1e-4


def beta_rank(
    model: nn.Module,
    coupling: "Coupling",
    batches: Batches,
    *,
    direction: Direction = "code",
    class_balanced: bool = False,
) -> dict[str, Tensor]:
    """Per group (units,), in [0, 1]: each producer's scores moved to [0, 1] (min-max), then averaged over producers.

    `class_balanced` (ours, not in the paper) scores every class by itself and averages over classes, so that a rare
    class counts as much as a frequent one. Producers that no hook sees (bare parameters, heads that inference does not
    reach) count by their L1 norm. The model runs in eval mode. Raises UsageError if there are fewer than two images,
    and for an unknown direction.
    """
    if direction not in get_args(Direction):
        raise UsageError(f"direction {direction!r} is unknown", f"use {' or '.join(get_args(Direction))}")
    groups = prunable(coupling)
    made_by = {group.name: producers(model, group) for group in groups}
    layers: dict[str, Scored] = {
        member.param: module
        for members in made_by.values()
        for member in members
        if isinstance(module := owner(model, member.param), Scored) and member.axis == OUT_AXIS[type(module)]
    }
    if class_balanced:
        each = [layer_scores(model, layers, part, direction) for part in by_class(batches)]
        filters = {param: torch.stack([scores[param] for scores in each]).mean(0) for param in each[0]}
    else:
        filters = layer_scores(model, layers, batches, direction)
    parameters = parameters_of(model)

    def of(param: str, axis: int) -> Tensor:
        return filters[param] if param in filters else filter_norms(parameters[param], axis, 1)

    return {
        name: torch.stack([min_max(per_unit(of(m.param, m.axis), m.index)) for m in members]).mean(0)
        for name, members in made_by.items()
    }


def layer_scores(
    model: nn.Module, layers: dict[str, Scored], batches: Batches, direction: Direction
) -> dict[str, Tensor]:
    """Raw Beta-Rank of every output filter (C_out,) by weight name; layers that did not run are left out.

    The hooks see the layer's own output, before batch norm and activation.
    """
    seen: dict[str, dict[torch.Size, Deviations]] = {param: defaultdict(Deviations) for param in layers}

    def watch(param: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
            seen[param][outputs.shape[1:]].update(layers[param], inputs[0], outputs)

        return hook

    hooks = [layer.register_forward_hook(watch(param)) for param, layer in layers.items()]
    images = sum(len(targets) for targets in show(model, batches, hooks))
    if images < 2:
        raise UsageError(f"Beta-Rank needs at least two images, not {images}", "give more calibration data")
    return {
        param: filter_scores(layers[param], list(calls.values()), direction) for param, calls in seen.items() if calls
    }


def filter_scores(layer: Scored, calls: Sequence[Deviations], direction: Direction) -> Tensor:
    """sum|f_k| times the mean over positions of sd(out)/sd(in) ("code") or sd(in)/sd(out) ("paper"): (C_out,).

    Positions whose input does not vary are left out. In the paper's direction, which is blind to scale, a filter that
    does not answer or whose norm is below 1e-4 of the median scores 0.
    """
    norms = filter_norms(layer.weight, OUT_AXIS[type(layer)], 1)
    if isinstance(layer, nn.ConvTranspose2d) and layer.groups > 1:
        c_in, c_out, *kernel = layer.weight.shape
        split = layer.weight.reshape(layer.groups, c_in // layer.groups, c_out, *kernel)
        norms = filter_norms(split.transpose(1, 2).flatten(0, 1), 0, 1)
    outputs = torch.cat([call.output_sd() for call in calls], 1)
    inputs = torch.cat([call.input_sd() for call in calls], 1)
    inputs = inputs.repeat_interleave(len(outputs) // len(inputs), 0)
    varies = inputs > EPSILON * inputs.median()
    if direction == "code":
        ratio = torch.where(varies, outputs / inputs, 0.0)
    else:
        ratio = torch.where(varies & (outputs > EPSILON * outputs.median()), inputs / outputs, 0.0)
        norms = torch.where(norms > DEAD * norms.median(), norms, 0.0)
    return norms * ratio.sum(1) / varies.sum(1).clamp_min(1)


def by_class(batches: Batches) -> list[list[tuple[Any, Any]]]:
    """The batches of each class that has at least two images; raises UsageError if targets are no class indices."""
    parts: dict[int, list[tuple[Any, Any]]] = defaultdict(list)
    for inputs, targets in batches:
        labels = torch.as_tensor(targets)
        if labels.ndim != 1 or labels.is_floating_point():
            raise UsageError("class-balanced Beta-Rank needs class labels", "leave it out for this task")
        for label in labels.unique(sorted=True).tolist():  # type: ignore[no-untyped-call]
            rows = labels == label
            chosen = tuple(x[rows] for x in inputs) if isinstance(inputs, tuple | list) else inputs[rows]
            parts[label].append((chosen, labels[rows]))
    enough = [parts[label] for label in sorted(parts) if sum(len(y) for _, y in parts[label]) > 1]
    if not enough:
        raise UsageError("no class has two calibration images", "give more calibration data")
    return enough
