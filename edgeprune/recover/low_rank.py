"""Low-rank adapters on convolutions and linear layers: LoRA, MaskLoRA, ScaleLoRA (PERP; methods.md section 9)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgeprune.errors import UsageError

VARIANTS = ("lora", "lora-prune", "mask", "scale")
RANK, ALPHA = 16, 32.0  # the authors' defaults


class LowRank(nn.Module):
    """A parametrisation of one weight W (rows, ...), seen as a matrix (rows, columns), by B (rows, r), A (r, columns).

    "lora": W + s BA. "mask": W + s (M o BA) with M = (W != 0). "scale": W o BA, with A and B begun at 1/sqrt(r), so
    that BA = 1. "lora-prune" answers like "lora" and is merged like "mask". s = alpha / r. The others begin with B = 0.
    """

    mask: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float, variant: str, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        self.variant, self.scale = variant, alpha / rank
        mask = (weight != 0) if variant in ("mask", "lora-prune") else None
        self.register_buffer("mask", mask, persistent=False)
        if variant == "scale":
            down, up = torch.full((rank, columns), rank**-0.5), torch.full((rows, rank), rank**-0.5)
        else:
            bound = 1 / math.sqrt(columns)  # kaiming_uniform_(a=sqrt(5)), LoRA's own beginning
            down = torch.empty(rank, columns).uniform_(-bound, bound, generator=generator)
            up = torch.zeros(rows, rank)
        self.A, self.B = nn.Parameter(down.to(weight)), nn.Parameter(up.to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        change = (self.B @ self.A).reshape(weight.shape)
        if self.variant == "scale":
            return weight * change
        if self.variant == "mask" or (self.variant == "lora-prune" and not self.training):
            change = change * self.mask
        return weight + self.scale * change


def can_adapt(module: nn.Module) -> bool:
    """Linear layers and convolutions of one group whose matrix has room for a rank of 1 in half its weights."""
    if not isinstance(module, nn.Linear) and not (isinstance(module, nn.Conv2d) and module.groups == 1):
        return False
    return fitting_rank(module.weight, 1) is not None


def fitting_rank(weight: Tensor, rank: int) -> int | None:
    """The rank, lowered until the adapter has at most half of the weights (ours); None where even rank 1 has more."""
    rows, columns = weight.shape[0], weight[0].numel()
    most = rows * columns // (2 * (rows + columns))
    return min(rank, most) if most else None


def attach(
    layers: dict[str, nn.Module], variant: str = "lora", rank: int = RANK, alpha: float = ALPHA, seed: int = 0
) -> None:
    """Puts an adapter on the weight of every layer, in place; its own weight is frozen, the answers stay the same.

    Raises UsageError on an unknown variant.
    """
    if variant not in VARIANTS:
        raise UsageError(f"unknown adapter {variant!r}", f"use {', '.join(VARIANTS)}")
    generator = torch.Generator().manual_seed(seed)
    for module in layers.values():
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        weight.requires_grad_(False)
        fitting = fitting_rank(weight, rank)
        assert fitting is not None, "can_adapt says which layers there are"
        adapter = LowRank(weight.detach(), fitting, alpha * fitting / rank, variant, generator)
        parametrize.register_parametrization(module, "weight", adapter.train(module.training))


def merge(model: nn.Module) -> None:
    """Every adapter multiplied into its weight and taken off, in place: a plain network again."""
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module, "weight"):
            continue
        entries = module.parametrizations["weight"]  # type: ignore[index]
        if any(isinstance(entry, LowRank) for entry in entries):
            entries.eval()  # type: ignore[union-attr]
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
