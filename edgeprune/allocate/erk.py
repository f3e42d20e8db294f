"""Erdos-Renyi-kernel densities (Mocanu et al. 2018; Evci et al. 2020, RigL, section 3)."""

from collections.abc import Mapping
from math import prod


def erk(shapes: Mapping[str, tuple[int, ...]], density: float) -> dict[str, float]:
    """Density of each layer, proportional to sum(shape) / prod(shape), with the overall density exact.

    `shapes`: (c_out, c_in, kh, kw) of convolutions or (c_out, c_in) of linear layers. Layers that would exceed 1 are
    dense, and the others take what is left. Raises ValueError unless 0 < density <= 1.
    """
    if not 0.0 < density <= 1.0:
        raise ValueError(f"density {density} is not in (0, 1]")
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    dense: set[str] = set()
    while len(dense) < len(shapes):
        rest = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        scale = rest / sum(raw[name] * sizes[name] for name in shapes if name not in dense)
        over = {name for name in shapes if name not in dense and scale * raw[name] > 1.0}
        if not over:
            break
        dense |= over
    return {name: 1.0 if name in dense else scale * raw[name] for name in shapes}
