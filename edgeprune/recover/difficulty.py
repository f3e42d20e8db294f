"""How hard training images are: EL2N, GraNd and forgetting scores (methods.md section 5).

EL2N and GraNd: Paul et al., NeurIPS 2021. Forgetting: Toneva et al., ICLR 2019. All are taken on freshly initialised
networks of the same architecture, early in training or all along.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from edgeprune.errors import UsageError
from edgeprune.recover.scratch import reinitialise
from edgeprune.sources.batches import Loader
from edgeprune.task import call, logits_of

SCORES = ("random", "el2n", "grand", "forgetting")
_BATCH, _LR = 128, 0.1


def el2n(model: nn.Module, batches: Iterable[tuple[Any, Any]]) -> Tensor:
    """|| softmax(f(x)) - onehot(y) ||_2 of every image (N,), between 0 and sqrt(2); eval mode."""
    model.eval()
    found = []
    with torch.no_grad():
        for inputs, targets in batches:
            logits = logits_of(call(model, inputs))
            found.append((logits.softmax(1) - F.one_hot(targets, logits.shape[1])).norm(dim=1))
    return torch.cat(found)


def grand(model: nn.Module, batches: Iterable[tuple[Any, Any]]) -> Tensor:
    """Norm of the gradient of each image's cross-entropy by all parameters (N,); eval mode."""
    model.eval()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        answer = functional_call(model, (parameters, buffers), (x.unsqueeze(0),))
        return F.cross_entropy(logits_of(answer), y.unsqueeze(0))

    each = vmap(grad(loss), in_dims=(None, 0, 0), randomness="different")
    found = []
    for inputs, targets in batches:
        if not isinstance(inputs, Tensor):
            raise UsageError("grand takes networks of one input", "choose el2n or random")
        for x, y in zip(torch.split(inputs, 32), torch.split(targets, 32), strict=True):
            slopes = each(parameters, x, y)
            found.append(torch.stack([s.flatten(1).square().sum(1) for s in slopes.values()]).sum(0).sqrt())
    return torch.cat(found)


def forgotten(right: Tensor) -> Tensor:
    """Times that an image went from right to wrong: right (epochs, N) to (N,); infinity if it never was right."""
    events = (right[:-1] & ~right[1:]).sum(0).float()
    return torch.where(right.any(0), events, torch.inf)


def difficulty(
    kind: str,
    model: nn.Module,
    dataset: Any,
    *,
    epochs: int,
    nets: int,
    seed: int,
    note: Callable[[str], None] = lambda _: None,
) -> Tensor:
    """Scores (N,) of a dataset's images by "el2n", "grand" (after `epochs`, mean over `nets`) or "forgetting".

    Each net has the architecture of `model`, fresh weights and a seed of its own; forgetting counts over the epochs of
    each net and adds up. `model` is not touched. Raises UsageError on an unknown kind.
    """
    if kind not in SCORES[1:]:
        raise UsageError(f"unknown score {kind!r} of images", f"use {', '.join(SCORES)}")
    total: Tensor | float = 0.0
    plain = Loader(dataset, 500)
    for number in range(nets):
        net, history = copy.deepcopy(model), []
        reinitialise(net, seed + number)
        optimizer = torch.optim.SGD(net.parameters(), lr=_LR, momentum=0.9, weight_decay=5e-4)
        train = Loader(dataset, _BATCH, shuffle=True, drop_last=True, seed=seed + number)
        for epoch in range(1, epochs + 1):
            train.epoch = epoch
            net.train()
            for inputs, targets in train:
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(logits_of(call(net, inputs)), targets).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if kind == "forgetting":
                history.append(_right(net, plain))
        if kind == "forgetting":
            total = total + forgotten(torch.stack(history))
        else:
            total = total + (el2n if kind == "el2n" else grand)(net, plain) / nets
        note(f"{kind}: net {number + 1} of {nets} after {epochs} epochs")
    assert isinstance(total, Tensor)
    return total


def _right(net: nn.Module, batches: Iterable[tuple[Any, Any]]) -> Tensor:
    net.eval()
    with torch.no_grad():
        return torch.cat([logits_of(call(net, x)).argmax(1) == y for x, y in batches])
