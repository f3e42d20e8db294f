"""Features before the classifier, seen as norms and angles ("Understanding Robustness Lottery"; methods.md section 15).

logit_k = w_k . f + b_k = |w_k| |f| cos(theta_k) + b_k: a classifier's answer splits into the norm of the features,
their angle to each class vector, and the norms of these.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.observe import show


@dataclass(frozen=True)
class Geometry:
    """Per sample (N,), angles in radians; `own` is the true class, `other` the nearest of the other class vectors.

    `angular_margin` is other - own: positive where the true class vector is the nearest. `logit_margin` is that of the
    logits: positive where the answer is right. `to_mean` is the distance to the mean feature of the true class.
    """

    norm: Tensor
    own: Tensor
    other: Tensor
    logit_margin: Tensor
    to_mean: Tensor

    @property
    def angular_margin(self) -> Tensor:
        """other - own, (N,)."""
        return self.other - self.own


def geometry(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Geometry:
    """Features (N, d) before a linear classifier with weight (K, d) and bias (K,), true classes (N,)."""
    f, w = features.double(), weight.detach().double()
    angles = torch.arccos((F.normalize(f, dim=1) @ F.normalize(w, dim=1).T).clamp(-1, 1))
    logits = f @ w.T + (0 if bias is None else bias.detach().double())
    true = F.one_hot(targets, len(w)).bool()
    means = torch.zeros_like(w).index_add_(0, targets, f)
    means /= torch.bincount(targets, minlength=len(w)).clamp_min(1)[:, None]
    return Geometry(
        norm=f.norm(dim=1),
        own=angles[true],
        other=angles.masked_fill(true, torch.inf).amin(1),
        logit_margin=logits[true] - logits.masked_fill(true, -torch.inf).amax(1),
        to_mean=(f - means[targets]).norm(dim=1),
    )


def drift(clean: Tensor, corrupted: Tensor) -> tuple[Tensor, Tensor]:
    """(angle, change of norm) between the features of an input and of its corrupted twin, each (N, d) to (N,)."""
    a, b = clean.double(), corrupted.double()
    return torch.arccos(F.cosine_similarity(a, b, dim=1).clamp(-1, 1)), b.norm(dim=1) - a.norm(dim=1)


def features_of(model: nn.Module, head: str, batches: Iterable[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
    """What the classifier `head` takes, (N, d), and the targets (N,), in eval mode; the model is left as it was.

    Raises UsageError if the head is no linear layer on one vector an image.
    """
    layer = model.get_submodule(head)
    if not isinstance(layer, nn.Linear):
        raise UsageError(
            f"the head {head} is {type(layer).__name__}, no linear layer", "feature geometry needs a linear classifier"
        )
    taken: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: taken.append(args[0].cpu()))
    targets = show(model, batches, [hook])
    features, labels = torch.cat(taken), torch.cat([torch.as_tensor(each).cpu() for each in targets])
    if features.ndim != 2 or len(features) != len(labels):
        raise UsageError(
            f"the head {head} takes {tuple(features.shape)} for {len(labels)} images",
            "it must take one vector an image",
        )
    return features, labels
