"""Removing channels: slices of the user's own module, and the attributes that speak of widths."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.widths import Widths

# Attributes of other modules that name a width, with the axis of their own parameters that they speak of.
_NAMED = (
    "num_features",
    "num_channels",
    "num_parameters",
    "in_channels",
    "out_channels",
    "channels",
    "dim",
    "embedding_dim",
)


def prune(model: nn.Module, coupling: Coupling, kept: dict[str, Tensor]) -> tuple[nn.Module, Widths]:
    """A pruned deep copy of `model` (its class, mode and device) that keeps the given units; `model` is untouched.

    Raises SurgeryError if the kept set is not legal.
    """
    coupling.check(kept)
    widths = make_widths(model, coupling, kept)
    return widths.apply(model), widths


def make_widths(model: nn.Module, coupling: Coupling, kept: dict[str, Tensor]) -> Widths:
    """Kept entries per parameter axis, and the attribute patches."""
    tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    masks: dict[tuple[str, int], Tensor] = {}
    for name, units in kept.items():
        group = coupling.groups[name]
        gone = torch.ones(group.units, dtype=torch.bool)
        gone[units] = False
        for member in group.members:
            size = tensors[member.param].shape[member.axis]
            mask = masks.setdefault((member.param, member.axis), torch.ones(size, dtype=torch.bool))
            mask[member.index[gone].reshape(-1)] = False
    entries: dict[str, dict[int, tuple[int, ...]]] = {}
    alike: dict[bytes, tuple[int, ...]] = {}
    for (param, axis), mask in sorted(masks.items()):
        if not mask.all():
            key = mask.numpy().tobytes()
            if key not in alike:
                alike[key] = tuple(mask.nonzero()[:, 0].tolist())
            entries.setdefault(param, {})[axis] = alike[key]
    dense = {name: tuple(tensors[name].shape) for name in entries}
    return Widths(entries, dense, _attributes(model, entries))


def kept_units(coupling: Coupling, widths: Widths) -> dict[str, Tensor]:
    """Group -> sorted indices of its units that the widths keep; groups that stay dense are left out."""
    kept = {}
    for name, group in coupling.groups.items():
        member = group.members[0]
        entries = widths.kept.get(member.param, {}).get(member.axis)
        if entries is None:
            continue
        alive = torch.zeros(coupling.shapes[member.param][member.axis], dtype=torch.bool)
        alive[list(entries)] = True
        units = alive[member.index].all(dim=1).nonzero().flatten()
        if len(units) < group.units:
            kept[name] = units
    return kept


def _attributes(
    model: nn.Module, entries: dict[str, dict[int, tuple[int, ...]]]
) -> dict[str, dict[str, int | tuple[int, ...]]]:
    by_id = {id(t): name for name, t in [*model.named_parameters(), *model.named_buffers()]}
    patches: dict[str, dict[str, int | tuple[int, ...]]] = {}
    for path, module in model.named_modules():
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        for own, tensor in [*module._parameters.items(), *module._buffers.items()]:
            name = by_id.get(id(tensor))
            if tensor is not None and name in entries:
                before = tuple(tensor.shape)
                after = tuple(len(entries[name].get(axis, range(size))) for axis, size in enumerate(before))
                shapes[own] = (before, after)
        if shapes:
            values = _patch(module, shapes)
            changed = {name: value for name, value in values.items() if getattr(module, name, None) != value}
            if changed:
                patches[path] = changed
    return patches


def _patch(
    module: nn.Module, shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
) -> dict[str, int | tuple[int, ...]]:
    before, after = shapes.get("weight") or next(iter(shapes.values()))
    if isinstance(module, _ConvNd):
        first = "in_channels" if isinstance(module, _ConvTransposeNd) else "out_channels"
        second = "out_channels" if isinstance(module, _ConvTransposeNd) else "in_channels"
        if "weight" not in shapes:
            return {}
        groups = module.groups if module.groups == 1 else module.groups * after[0] // before[0]
        return {first: after[0], second: after[1] * groups, "groups": groups}
    if isinstance(module, nn.Linear) and len(after) == 2:
        return {"out_features": after[0], "in_features": after[1]}
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return {"normalized_shape": after}
    changed = {old: new for old, new in zip(before, after, strict=True) if old != new}
    return {name: changed[old] for name in _NAMED if (old := getattr(module, name, None)) in changed}
