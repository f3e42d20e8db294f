"""What describes a pruned network: kept entries of every parameter axis, and corrected module attributes, as JSON.

Applying it needs the original architecture only: no tracing.
"""

import copy
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.graph.errors import SurgeryError

_SCHEMA = 1


@dataclass(frozen=True)
class Widths:
    """`kept`: parameter or buffer name -> axis -> kept entries, ascending. `dense`: the same -> the dense shape.

    `attributes`: module path -> attribute -> corrected value (`out_channels`, `groups`, `num_features`, ...).
    """

    kept: dict[str, dict[int, tuple[int, ...]]] = field(default_factory=dict)
    dense: dict[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: dict[str, dict[str, int | tuple[int, ...]]] = field(default_factory=dict)

    def to_json(self) -> str:
        tensors = {
            name: {"dense": list(self.dense[name]), "kept": {str(axis): list(index) for axis, index in axes.items()}}
            for name, axes in self.kept.items()
        }
        return json.dumps({"schema_version": _SCHEMA, "tensors": tensors, "attributes": self.attributes}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Widths":
        """Raises SurgeryError if the text is no widths file of this version."""
        try:
            data = json.loads(text)
            if data["schema_version"] != _SCHEMA:
                raise SurgeryError(
                    f"widths of schema version {data['schema_version']}, expected {_SCHEMA}", "prune again"
                )
            tensors = data["tensors"].items()
            kept = {name: {int(a): tuple(map(int, i)) for a, i in entry["kept"].items()} for name, entry in tensors}
            dense = {name: tuple(entry["dense"]) for name, entry in tensors}
            attributes = {
                module: {name: tuple(v) if isinstance(v, list) else int(v) for name, v in values.items()}
                for module, values in data["attributes"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SurgeryError(f"not a widths file: {error!r}", "give the widths.json of a run") from error
        return cls(kept, dense, attributes)

    def apply(self, model: nn.Module) -> nn.Module:
        """A pruned deep copy of a dense `model`, modes and device kept. Raises SurgeryError if shapes do not fit."""
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        replaced: dict[int, Any] = {}
        indices: dict[tuple[int, ...], Tensor] = {}
        for name, axes in self.kept.items():
            if name not in tensors or tuple(tensors[name].shape) != self.dense[name]:
                found = tuple(tensors[name].shape) if name in tensors else "nothing"
                raise SurgeryError(
                    f"{name}: these widths belong to a model with shape {self.dense[name]}, found {found}",
                    "apply widths to the dense architecture that they were made from",
                )
            for axis, kept in axes.items():
                channels = self.dense[name][axis] if axis < len(self.dense[name]) else 0
                if not kept or min(kept) < 0 or max(kept) >= channels:
                    cure = "give the widths.json of a run as it was written"
                    raise SurgeryError(
                        f"{name}: what is kept of axis {axis} is no choice of its {channels} channels", cure
                    )
            indices |= {kept: torch.tensor(kept) for kept in axes.values() if kept not in indices}
            replaced[id(tensors[name])] = _sliced(tensors[name], {axis: indices[kept] for axis, kept in axes.items()})
        pruned = copy.deepcopy(model, replaced)  # a memo: what is sliced is never copied whole
        modules = dict(pruned.named_modules())
        for path, values in self.attributes.items():
            for name, value in values.items():
                if path not in modules or not isinstance(getattr(modules[path], name, None), int | tuple):
                    cure = "apply widths to the dense architecture that they were made from"
                    raise SurgeryError(f"these widths set {path}.{name}, which the model does not have", cure)
                setattr(modules[path], name, value)
        return pruned


def _sliced(tensor: Tensor, axes: dict[int, Tensor]) -> Tensor:
    data: Any = tensor.detach()
    for axis, index in axes.items():
        data = data.index_select(axis, index.to(data.device))
    data = data.contiguous() if axes else data.clone(memory_format=torch.contiguous_format)
    return nn.Parameter(data, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
