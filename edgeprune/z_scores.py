"""z-scores: what makes the scores of one group comparable to those of another."""

import torch
from torch import Tensor


def standardise(scores: Tensor) -> Tensor:
    """Scores (units,) with mean 0 and standard deviation 1; all 0 where they are all equal."""
    spread = scores.std(correction=0)
    return (scores - scores.mean()) / spread if spread > 0 else torch.zeros_like(scores)
