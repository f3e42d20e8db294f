"""Where data comes from: `builtin:digits`, `folder:DIR`, `fashion-mnist:DIR`, or the user's own `file.py:function`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from edgeprune.errors import UsageError
from edgeprune.sources import splits
from edgeprune.sources.augment import Augmentation
from edgeprune.sources.user_code import is_user_code

VAL_FRACTION = 0.1
FORMS = "builtin:digits, folder:DIR, fashion-mnist:DIR or file.py:function"
Split = Dataset[Any]


@dataclass(frozen=True)
class Data:
    """Three splits of (input (C, H, W) normalised, target), and what is known of them.

    `train` learns, every choice is made on `val`, `test` is read once at the end (None: there is none). `mean` and
    `std` (one a channel) are those already applied. A split may also be the user's DataLoader: it is used as it is.
    """

    train: Split | DataLoader[Any]
    val: Split | DataLoader[Any]
    test: Split | DataLoader[Any] | None
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    augmentation: Augmentation | None = field(default=None, repr=False)


def load_data(
    spec: str,
    *,
    image_size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    long_tail: float | None = None,
    seed: int = 0,
) -> Data:
    """The data of a spec.

    Where there is no val, a tenth of train is cut off, by class and seed. `long_tail` then thins out *train* alone: val
    and test keep the source's balance, so that a choice by val does not forget the rare classes. Raises UsageError on
    unknown specs, unreadable files, labels out of range, and classes missing from train or val.
    """
    from edgeprune.sources import digits, fashion_mnist, folder, user_data

    kind, _, place = spec.partition(":")
    if kind in ("builtin", "fashion-mnist") and image_size is not None:
        raise UsageError(f"--image-size does not apply to {spec}", "leave it out")
    if kind == "builtin" and place != "digits":
        raise UsageError(f"unknown data {spec!r}", "the only data that come along are builtin:digits")
    if kind == "builtin":
        data = digits.load(mean, std, seed)
    elif kind == "fashion-mnist":
        data = fashion_mnist.load(place, mean, std, seed)
    elif kind == "folder":
        data = folder.load(place, image_size, mean, std, seed)
    elif is_user_code(spec):
        data = user_data.load(spec, image_size, seed)
    else:
        raise UsageError(f"unknown data {spec!r}", f"use {FORMS}")
    return data if long_tail is None else _thin_out(data, long_tail, seed)


def labels_of(split: Any) -> Tensor | None:
    """The class indices (N,) of a split, or None where targets are no class indices."""
    if isinstance(split, TensorDataset):
        targets = split.tensors[-1]
    elif isinstance(split, Subset):
        inner = labels_of(split.dataset)
        return None if inner is None else inner[torch.as_tensor(split.indices)]
    elif hasattr(split, "labels"):
        targets = torch.as_tensor(split.labels)
    elif hasattr(split, "__getitem__") and hasattr(split, "__len__"):
        values = [split[index][1] for index in range(len(split))]
        if any(isinstance(value, float) or (isinstance(value, Tensor) and value.ndim) for value in values):
            return None
        try:
            targets = torch.tensor([int(value) for value in values])
        except (TypeError, ValueError):
            return None
    else:
        return None
    return targets if targets.ndim == 1 and not targets.is_floating_point() else None


def check_labels(data: Data, where: str) -> Data:
    """The data, if every label of every split is a class and every class is in train and val; else UsageError."""
    for name, split in (("train", data.train), ("val", data.val), ("test", data.test)):
        labels = None if split is None else labels_of(split)
        if labels is None:
            continue
        if not len(labels):
            raise UsageError(f"{where}: {name} is empty")
        bad = labels[(labels < 0) | (labels >= len(data.class_names))]
        if len(bad):
            raise UsageError(
                f"{where}: label {int(bad[0])} in {name} is out of range: there are {len(data.class_names)} classes",
                f"labels run from 0 to {len(data.class_names) - 1}",
            )
        missing = sorted(set(range(len(data.class_names))) - set(labels.tolist()))
        if missing and name != "test":
            names = ", ".join(data.class_names[index] for index in missing[:5])
            raise UsageError(f"{where}: {name} has no image of class {names}", "add some, or leave the class out")
    return data


def is_loader(split: Any) -> bool:
    """Whether a split is already an iterable of batches, such as a DataLoader, and not a dataset of items."""
    return not hasattr(split, "__getitem__")


def cut_val(train: Any, seed: int) -> tuple[Any, Any]:
    """(train, val): a tenth is cut off, by class where targets are class indices; TensorDatasets stay ones."""
    labels = labels_of(train)
    if labels is None:
        order = np.random.default_rng(seed).permutation(len(train))
        size = max(1, round(VAL_FRACTION * len(train)))
        kept, cut = np.sort(order[size:]), np.sort(order[:size])
    else:
        kept, cut = splits.stratified(labels.numpy(), VAL_FRACTION, seed)
    return take(train, kept), take(train, cut)


def take(split: Any, indices: Any) -> Any:
    """The part of a split at the indices (N,), in memory if the split is."""
    chosen = torch.as_tensor(indices)
    if isinstance(split, TensorDataset):
        return TensorDataset(*(tensor[chosen] for tensor in split.tensors))
    return split.take(chosen) if hasattr(split, "take") else Subset(split, chosen.tolist())


def per_channel(value: float | Sequence[float], channels: int, option: str) -> tuple[float, ...]:
    """One value a channel from one value or one a channel; raises UsageError otherwise, and on a std of 0."""
    values = (float(value),) if isinstance(value, int | float) else tuple(float(item) for item in value)
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        raise UsageError(
            f"{option} has {len(values)} values for {channels} channels", "give one value or one a channel"
        )
    if option == "--std" and min(values) <= 0:
        raise UsageError(f"--std {min(values):g} is not positive")
    return values


def _thin_out(data: Data, ratio: float, seed: int) -> Data:
    labels = labels_of(data.train)
    if labels is None:
        raise UsageError("--long-tail needs class labels", "leave it out for this task")
    kept = splits.long_tail(labels.numpy(), len(data.class_names), ratio, seed)
    return replace(data, train=take(data.train, kept), name=f"{data.name} (long tail {ratio:g})")
