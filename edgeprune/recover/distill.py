"""Distillation from the dense model (Hinton et al. 2015; methods.md section 5)."""

from typing import Any

from torch import Tensor

from edgeprune.task import Classification, Task, logits_of


def distillation_loss(task: Task, outputs: Any, teacher: Any, targets: Any, alpha: float, tau: float) -> Tensor:
    """(1 - alpha) * task loss + alpha * tau^2 * KL(teacher || outputs), both softened by tau (scalar).

    A task that is no classification has no temperature: its own divergence takes the place of tau^2 * KL. alpha 0 is
    the plain loss; alpha 1 with equal outputs is 0.
    """
    if alpha == 0:
        return task.loss(outputs, targets)
    if isinstance(task, Classification):
        soft = tau**2 * task.divergence(logits_of(outputs) / tau, logits_of(teacher) / tau)
    else:
        soft = task.divergence(outputs, teacher)
    return alpha * soft if alpha == 1 else alpha * soft + (1 - alpha) * task.loss(outputs, targets)
