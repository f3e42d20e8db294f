"""Batches of a dataset: gathered and augmented whole, in an order that seed and epoch decide."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from edgeprune.errors import UsageError
from edgeprune.sources.augment import Augmentation
from edgeprune.sources.data import Data, is_loader, labels_of
from edgeprune.sources.shares import share

Batch = tuple[Any, Any]
EVAL_BATCH = 500
LARGEST_BATCH, SMALLEST_BATCH, STEPS = 128, 16, 40


class Loader:
    """Batches (inputs, targets) of a dataset; inputs is a tensor (N, C, H, W) or a tuple of tensors.

    The order and the augmentation depend on `seed` and `epoch` only: set `epoch` before each pass to go on with the
    next order, or with the same one after a restart.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.augmentation, self.seed, self.epoch = augmentation, seed, 0
        self.drop_last = drop_last and len(dataset) >= batch_size

    def __len__(self) -> int:
        return len(self.dataset) // self.batch_size if self.drop_last else -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for inputs, targets, _ in self.shares(0, 1):
            yield inputs, targets

    def shares(self, rank: int, world: int) -> Iterator[tuple[Any, Any, float]]:
        """What process `rank` of `world` trains on; see `edgeprune.sources.shares`. Only that is read."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        n = len(self.dataset)
        order = torch.randperm(n, generator=generator) if self.shuffle else torch.arange(n)
        for begin in range(0, len(self) * self.batch_size, self.batch_size):
            batch = order[begin : begin + self.batch_size]
            start, stop, weight = share(len(batch), rank, world)
            inputs, targets = gather(self.dataset, batch[start:stop])
            if self.augmentation is not None and isinstance(inputs, Tensor) and inputs.ndim == 4:
                inputs = self.augmentation(inputs, generator, first=start, of=len(batch))
            yield inputs, targets, weight


def gather(dataset: Any, indices: Tensor) -> Batch:
    """The batch of a dataset's items at the indices (N,)."""
    if isinstance(dataset, TensorDataset):
        *inputs, targets = (tensor[indices] for tensor in dataset.tensors)
    else:
        each, targets = default_collate([dataset[index] for index in indices.tolist()])
        inputs = list(each) if isinstance(each, tuple | list) else [each]
    return (inputs[0] if len(inputs) == 1 else tuple(inputs)), targets


def default_batch_size(data: Data) -> int:
    """128, halved down to 16 until an epoch has 40 steps: with few images too few steps train too little."""
    if is_loader(data.train):
        return LARGEST_BATCH
    size = LARGEST_BATCH
    while size > SMALLEST_BATCH and len(data.train) // size < STEPS:  # type: ignore[arg-type]
        size //= 2
    return size


def loaders(
    data: Data, batch_size: int = 128, seed: int = 0, *, augment: bool = True
) -> tuple[Iterable[Batch], Iterable[Batch], Iterable[Batch] | None]:
    """(train, val, test) batches: train is shuffled and augmented, the others are neither. DataLoaders pass through."""

    def plain(split: Any) -> Iterable[Batch]:
        return _Given(split) if is_loader(split) else Loader(split, min(EVAL_BATCH, max(batch_size, 1)))

    train: Iterable[Batch]
    if is_loader(data.train):
        train = _Given(data.train)
    else:
        augmentation = data.augmentation if augment else None
        train = Loader(data.train, batch_size, shuffle=True, augmentation=augmentation, drop_last=True, seed=seed)
    return train, plain(data.val), None if data.test is None else plain(data.test)


class _Given:
    """The user's own batches, whose several inputs come as a tuple."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for inputs, targets in self.loader:
            yield (tuple(inputs) if isinstance(inputs, list) else inputs), targets


def calibration_batches(
    data: Data, n: int, batch_size: int = 64, seed: int = 0, class_balanced: bool = False
) -> list[Batch]:
    """Batches of n training images in all, not augmented, drawn by the seed.

    `class_balanced` draws every class equally often, repeating the images of rare ones. Raises UsageError if that is
    asked for without class labels.
    """
    if is_loader(data.train):
        if class_balanced:
            raise UsageError("a DataLoader's labels are not known", "give datasets for class-balanced calibration")
        return list(itertools.islice(_Given(data.train), max(1, n // batch_size)))
    generator = np.random.default_rng(seed)
    size = len(data.train)  # type: ignore[arg-type]
    if class_balanced:
        labels = labels_of(data.train)
        if labels is None:
            raise UsageError("class-balanced calibration needs class labels", "leave it out for this task")
        chosen = _balanced(labels.numpy(), n, generator)
    else:
        chosen = generator.permutation(size)[: min(n, size)]
    order = torch.from_numpy(chosen)
    return [gather(data.train, order[start : start + batch_size]) for start in range(0, len(order), batch_size)]


def _balanced(labels: "np.ndarray[Any, Any]", n: int, generator: np.random.Generator) -> "np.ndarray[Any, Any]":
    classes = np.unique(labels)
    each = -(-n // len(classes))
    drawn = [np.resize(generator.permutation(np.flatnonzero(labels == c)), each) for c in classes]
    return np.stack(drawn, axis=1).reshape(-1)[:n]
