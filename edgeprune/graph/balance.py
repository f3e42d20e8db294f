"""Equal shares: a chunk, or a GroupNorm group, must keep the same share of its channels as the whole axis.

Within one group of units this is a small integer program, rows @ kept = 0 with kept in {0, 1} (solved by HiGHS).
"""

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor


def best_units(scores: Tensor, count: int, rows: Tensor) -> Tensor | None:
    """Sorted indices of the `count` units of highest total score with rows @ kept = 0, or None if there are none.

    scores: (units,); rows: (constraints, units) integers, each summing to 0.
    """
    units = len(scores)
    if count >= units:
        return torch.arange(units)
    if not len(rows):
        order = torch.argsort(scores, descending=True, stable=True)
        return torch.sort(order[:count]).values
    matrix = np.vstack([rows.numpy(), np.ones((1, units))])
    target = np.concatenate([np.zeros(len(rows)), [count]])
    span = float(scores.max() - scores.min()) or 1.0
    cost = -((scores.double() - scores.min()) / span).numpy()
    result = milp(cost, constraints=LinearConstraint(matrix, target, target), integrality=1, bounds=Bounds(0, 1))
    if result.x is None:
        return None
    return torch.from_numpy(np.flatnonzero(result.x > 0.5))
