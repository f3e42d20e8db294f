"""Cutting a split by class: a validation part, and a long tail."""

import numpy as np
import numpy.typing as npt

from edgeprune.errors import UsageError

Indices = npt.NDArray[np.int64]


def stratified(labels: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Indices (kept, cut): `fraction` of each class, at least one image, is cut at random by the seed.

    Both are ascending. Raises UsageError if a class has a single image, which cannot be in both parts.
    """
    generator = np.random.default_rng(seed)
    cut = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise UsageError(
                f"class {label} has one image only: it cannot be in train and in val", "add images or give a val split"
            )
        cut.append(members[: max(1, round(fraction * len(members)))])
    chosen = np.sort(np.concatenate(cut))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def long_tail(labels: Indices, num_classes: int, ratio: float, seed: int) -> Indices:
    """Ascending indices of a long-tailed subset: class c keeps n * ratio^(-c / (num_classes - 1)) images.

    n is the largest number that every class can serve, so that first to last is `ratio` (Cui et al. 2019,
    section 5.1). Raises UsageError if ratio < 1 or the last class would be left without an image.
    """
    if ratio < 1:
        raise UsageError(f"a long tail of {ratio:g} is no imbalance ratio", "give 1 or more, such as 100")
    counts = np.bincount(labels, minlength=num_classes)
    shares = ratio ** (-np.arange(num_classes) / max(1, num_classes - 1))
    largest = float((counts / shares).min())
    kept = np.floor(largest * shares + 1e-9).astype(int)
    if kept.min() < 1:
        raise UsageError(
            f"a long tail of {ratio:g} leaves class {int(kept.argmin())} without an image: the largest class has "
            f"{int(largest)}",
            f"give at most {int(largest)}",
        )
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(kept)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
