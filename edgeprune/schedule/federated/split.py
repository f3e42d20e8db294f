"""Training images shared out to clients who see the classes in different shares: the usual Dirichlet split."""

import numpy as np
import torch
from torch import Tensor

from edgeprune.errors import UsageError

_TRIES = 100


def dirichlet_split(labels: Tensor, clients: int, concentration: float, seed: int, least: int = 8) -> list[Tensor]:
    """Indices (sorted) of every client's images: each class is shared out by a draw from Dirichlet(concentration).

    The smaller the concentration, the fewer classes a client has; large ones come near equal shares. Drawn again until
    every client has `least` images. Raises UsageError where that does not happen.
    """
    generator, values = np.random.default_rng(seed), labels.numpy()
    for _ in range(_TRIES):
        parts: list[list[int]] = [[] for _ in range(clients)]
        for label in np.unique(values):
            own = generator.permutation(np.flatnonzero(values == label))
            shares = generator.dirichlet(np.full(clients, concentration))
            cuts = np.round(np.cumsum(shares)[:-1] * len(own)).astype(int)
            for part, indices in zip(parts, np.split(own, cuts), strict=True):
                part.extend(indices.tolist())
        if min(map(len, parts)) >= least:
            return [torch.tensor(sorted(part)) for part in parts]
    raise UsageError(
        f"{len(values)} images cannot be shared out to {clients} clients (concentration {concentration:g}) "
        f"so that each has {least}",
        "take fewer clients, or a larger concentration",
    )
