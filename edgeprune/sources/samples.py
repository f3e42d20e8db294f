"""Inputs one at a time, as converted files take them: to judge a file, and to calibrate it."""

from collections.abc import Iterable

import torch
from torch import Tensor

from edgeprune.sources.batches import Batch, calibration_batches, loaders
from edgeprune.sources.data import Data

Inputs = tuple[Tensor, ...]


def singles(batches: Iterable[Batch], count: int) -> tuple[list[Inputs], list[Tensor]]:
    """The first `count` inputs of the batches, each a tuple with batch size 1, and the targets of those batches."""
    samples: list[Inputs] = []
    targets: list[Tensor] = []
    for inputs, target in batches:
        tensors = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        samples += [tuple(t[i : i + 1] for t in tensors) for i in range(len(tensors[0]))]
        targets.append(target)
        if len(samples) >= count:
            break
    return samples[:count], targets


def validation_inputs(data: Data, count: int) -> tuple[list[Inputs], list[int] | None]:
    """The first `count` of val, with their labels; None where the targets are no classes."""
    samples, targets = singles(loaders(data)[1], count)
    if not data.class_names or not all(isinstance(target, Tensor | list) for target in targets):
        return samples, None
    labels = [torch.as_tensor(target) for target in targets]
    are_classes = all(label.ndim == 1 and not label.is_floating_point() for label in labels)
    return samples, torch.cat(labels)[:count].tolist() if are_classes else None


def calibration_inputs(data: Data, count: int, seed: int = 0) -> list[Inputs]:
    """`count` training inputs, drawn by the seed, not augmented; of a DataLoader its first."""
    return singles(calibration_batches(data, count, batch_size=1, seed=seed), count)[0]
