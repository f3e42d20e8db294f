"""How a classifier takes corrupted images, and where its features go (methods.md section 15)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.diagnose.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from edgeprune.diagnose.geometry import Geometry, drift, features_of, geometry
from edgeprune.graph import switched
from edgeprune.task import call, device_of, logits_of

DRIFT_SEVERITY = 3
_BATCH = 256
_SAME = 1e-4


@dataclass(frozen=True)
class Answers:
    """What one network (torch, float32) makes of N images: `predicted` (N,), and the `geometry` of its features.

    `corrupted`: accuracy under every corruption at severities 1 to 5. `drift`: the mean angle (radians) by which
    severity 3 of a corruption turns the features. Geometry and drift are None where no linear layer makes the logits.
    """

    predicted: Tensor
    accuracy: float
    corrupted: dict[str, tuple[float, ...]]
    geometry: Geometry | None
    drift: dict[str, float] | None

    @property
    def robustness(self) -> float:
        """Mean accuracy over all corruptions and severities."""
        every = [value for values in self.corrupted.values() for value in values]
        return sum(every) / len(every)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; of the geometry the means over the images."""
        found = self.geometry
        parts = {} if found is None else {
            "norm": found.norm, "own_angle": found.own, "other_angle": found.other, "logit_margin": found.logit_margin,
            "angular_margin": found.angular_margin, "distance_to_class_mean": found.to_mean,
        }  # fmt: skip
        return {
            "accuracy": self.accuracy,
            "robustness": self.robustness,
            "corrupted": {name: list(values) for name, values in self.corrupted.items()},
            "geometry": {name: float(value.mean()) for name, value in parts.items()} or None,
            "drift": self.drift,
        }


def ask(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    normalise: Callable[[Tensor], Tensor],
    advance: Callable[[str], None] = lambda _: None,
) -> Answers:
    """Show a network the images (N, C, H, W) in [0, 1] and all corruptions of them; targets (N,) are their classes.

    `normalise` makes of such images what the network takes. `advance` is told every corruption when it is done.
    """

    def accuracy(logits: Tensor) -> float:
        return float((logits.argmax(1) == targets).double().mean())

    clean = _logits(network, normalise(images))
    head = classifier_head(network, normalise(images[:2]))
    features = None if head is None else _features(network, head, normalise(images), targets)
    corrupted, turned = {}, {}
    for name in CORRUPTIONS:
        values = []
        for severity in SEVERITIES:
            shown = normalise(corrupt(images, name, severity))
            values.append(accuracy(_logits(network, shown)))
            if head is not None and features is not None and severity == DRIFT_SEVERITY:
                angle, _ = drift(features, _features(network, head, shown, targets))
                turned[name] = float(angle.mean())
        corrupted[name] = tuple(values)
        advance(name)
    found = None
    if head is not None and features is not None:
        layer: Any = network.get_submodule(head)
        found = geometry(features, layer.weight.cpu(), None if layer.bias is None else layer.bias.cpu(), targets)
    return Answers(clean.argmax(1), accuracy(clean), corrupted, found, turned if head is not None else None)


def classifier_head(network: nn.Module, inputs: Tensor) -> str | None:
    """The linear layer whose output is the network's logits; None if there is none."""
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        logits = _logits(network, inputs)
    finally:
        for hook in hooks:
            hook.remove()

    def gives_them(output: Tensor) -> bool:
        return output.shape == logits.shape and bool((output.cpu() - logits).abs().max() < _SAME)

    return next((name for name in reversed(seen) if gives_them(seen[name])), None)


def _batches(inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(torch.split(inputs, _BATCH), torch.split(targets, _BATCH), strict=True)


def _features(network: nn.Module, head: str, inputs: Tensor, targets: Tensor) -> Tensor:
    return features_of(network, head, _batches(inputs, targets))[0]


def _logits(network: nn.Module, inputs: Tensor) -> Tensor:
    device = device_of(network)
    with torch.no_grad(), switched(network, training=False):
        return torch.cat([logits_of(call(network, part.to(device))).cpu() for part in torch.split(inputs, _BATCH)])
