"""The PQ index: how unequal the entries of a vector are, and how many of them matter (Diao et al. 2023, SAP).

Read in the authors' code (sparsity_index.py, compression.py); methods.md section 7.
"""

from math import ceil

from torch import Tensor


def pq_index(values: Tensor, p: float = 0.5, q: float = 1.0) -> float:
    """1 - d^(1/q - 1/p) |w|_p / |w|_q of the d entries, 0 < p < q: 0 where all are equal, towards 1 for a single one.

    Scale does not matter; 0 for no entries, and where all are zero.
    """
    w = values.detach().double().abs().flatten()
    if not len(w) or not bool(w.any()):
        return 0.0
    w = w / w.max()
    return float(1 - w.pow(p).mean() ** (1 / p) / w.pow(q).mean() ** (1 / q))


def bound(values: Tensor, p: float = 0.5, q: float = 1.0, eta: float = 0.0) -> float:
    """How many of the d entries have to stay, at least: d (1 + eta)^(-q/(q-p)) (1 - I)^(pq/(q-p))."""
    index = pq_index(values, p, q)
    return float(values.numel() * (1 + eta) ** (-q / (q - p)) * (1 - index) ** (p * q / (q - p)))


def kept_share(values: Tensor, p: float = 0.5, q: float = 1.0, eta: float = 0.0) -> float:
    """The bound, in whole entries, as a share of all."""
    return ceil(bound(values, p, q, eta) - 1e-9) / max(1, values.numel())


def adaptive_prune(
    values: Tensor, p: float = 0.5, q: float = 1.0, *, eta: float = 0.0, gamma: float = 1.0, beta: float = 0.9
) -> int:
    """How many of the d entries a round of SAP removes: floor(d * clamp(gamma (1 - r/d), 0, beta)), r the bound."""
    d = values.numel()
    ratio = min(beta, max(0.0, gamma * (1 - kept_share(values, p, q, eta))))
    return int(d * ratio + 1e-9)
