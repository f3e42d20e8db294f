"""Closed-form repair of the layers that read pruned channels (OBSPA, arXiv 2403.18955; methods.md section 12).

Optimal brain surgeon for a whole set of input columns: with H = X X^T, removing the columns Q and moving the rest K by
-W_Q (H^-1_QQ)^-1 H^-1_QK gives the least squares weights W H_:K (H_KK)^-1. Here layer by layer, in the order of the
forward pass, with the inputs that the repaired network really sees.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune.graph import Widths, switched
from edgeprune.recover.taps import layer_order, until

DAMP = 0.01
WIDEST = 8192  # inputs of a layer; the normal equations of wider ones take gigabytes
_ROUNDING = 1e-5  # float32 activations of equal layers differ by less than this


def reconstruct(
    dense: nn.Module, pruned: nn.Module, widths: Widths, inputs: Iterable[Any], damp: float = DAMP
) -> tuple[str, ...]:
    """Fit the weights of `pruned`, in place, so that its layers answer what the dense layers answer on `inputs`.

    Convolutions of one group and linear layers are fitted, each once, those first that run first; a layer whose inputs
    did not change, or with more than `WIDEST` weights an output, keeps its weights. `inputs`: batches as the networks
    take them; real images, others, or noise. `damp`: ridge, relative to the mean of the diagonal, that pulls towards
    the inherited weights. Biases stay. Both networks run in eval mode, on the CPU. Returns the fitted layers.
    """
    batches = list(inputs)
    fitted = []
    with switched(dense, training=False), switched(pruned, training=False):
        for name in layer_order(pruned, batches[0]):
            if pruned.get_submodule(name).weight[0].numel() > WIDEST:  # type: ignore[index]
                continue
            rows = widths.kept.get(f"{name}.weight", {}).get(0)
            if _fit(dense, pruned, name, rows, batches, damp):
                fitted.append(name)
    return tuple(fitted)


@torch.no_grad()
def _fit(
    dense: nn.Module, pruned: nn.Module, name: str, rows: tuple[int, ...] | None, batches: list[Any], damp: float
) -> bool:
    layer, original = pruned.get_submodule(name), dense.get_submodule(name)
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    assert isinstance(original, nn.Linear | nn.Conv2d)
    weight = layer.weight.double().flatten(1)
    gram = torch.zeros(weight.shape[1], weight.shape[1], dtype=torch.float64)
    missing = torch.zeros_like(weight)
    for batch in batches:
        seen = _columns(layer, until(pruned, layer.register_forward_pre_hook, batch))
        wanted = until(dense, original.register_forward_hook, batch)
        if original.bias is not None:
            wanted = wanted - original.bias.reshape([-1] + [1] * (wanted.dim() - 2) * isinstance(layer, nn.Conv2d))
        target = wanted.double().movedim(1 if isinstance(layer, nn.Conv2d) else -1, 0).flatten(1)
        target = target if rows is None else target[list(rows)]
        gram.addmm_(seen, seen.T)
        missing.addmm_(target - weight @ seen, seen.T)
    if float(missing.norm()) <= _ROUNDING * float((weight @ gram).norm()):
        return False
    ridge = damp * gram.diagonal().mean().clamp_min(1e-30) * torch.eye(len(gram), dtype=torch.float64)
    factor, singular = torch.linalg.cholesky_ex(gram + ridge)
    if singular:
        change = torch.linalg.lstsq(gram + ridge, missing.T).solution.T
    else:
        change = torch.cholesky_solve(missing.T, factor).T
    layer.weight.copy_((weight + change).reshape(layer.weight.shape))
    return True


def _columns(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:
    """The layer's inputs as columns (weights of one output, positions), float64."""
    if isinstance(layer, nn.Linear):
        return x.double().movedim(-1, 0).flatten(1)
    x = F.pad(x, layer._reversed_padding_repeated_twice)
    patches = F.unfold(x.double(), layer.kernel_size, layer.dilation, 0, layer.stride)
    return patches.movedim(1, 0).flatten(1)
