"""What the network is for: its loss, its metrics, and how far one set of outputs is from another.

Classification is built in; any other task (segmentation, several inputs) comes from the user, as a class
(`load_task("file.py:Task")`) or as two functions (`make_task(loss=, evaluate=)`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.metrics import classification_metrics

Batches = Iterable[tuple[Any, Any]]


@runtime_checkable
class Task(Protocol):
    """A task. `primary` names the metric of `evaluate` that choices are made by; higher is better."""

    primary: str

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Scalar training loss of a batch."""
        ...

    def evaluate(self, model: nn.Module, loader: Batches) -> dict[str, Any]:
        """Metrics of the model over all batches of the loader; leaves the model's mode as it was."""
        ...

    def divergence(self, outputs: Any, reference: Any) -> Tensor:
        """Scalar mean distance of a batch's outputs from the reference's: 0 if they are equal."""
        ...


def call(model: nn.Module, inputs: Any) -> Any:
    """model(inputs), or model(*inputs) where a batch has several inputs."""
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def to_device(value: Any, device: torch.device) -> Any:
    """A tensor, or every tensor of a tuple, list or mapping, on the device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(to_device(item, device) for item in value)
    return value


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first parameter; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def output_tensors(outputs: Any) -> list[Tensor]:
    """All floating-point tensors of an output, which may be a tensor, a tuple, a list or a mapping."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        outputs = outputs.values()
    if isinstance(outputs, Iterable) and not isinstance(outputs, str):
        return [tensor for item in outputs for tensor in output_tensors(item)]
    return []


def relative_error(outputs: Any, reference: Any) -> Tensor:
    """Mean over the output tensors of |outputs - reference|^2 / |reference|^2 (scalar); any structure of outputs."""
    pairs = list(zip(output_tensors(outputs), output_tensors(reference), strict=True))
    if not pairs:
        raise UsageError("the model returned no floating-point tensor", "return tensors, or a tuple or dict of them")
    terms = [(out - ref).square().mean() / ref.square().mean().clamp_min(1e-12) for out, ref in pairs]
    return torch.stack(terms).mean()


class Classification:
    """Single-label classification: logits (N, num_classes), integer targets (N,).

    `evaluate` gives the metrics of `edgeprune.metrics.classification_metrics`, all fractions in [0, 1].
    `divergence` is KL(reference || outputs) of the two softmax distributions, in nats.
    """

    def __init__(self, num_classes: int, class_names: Sequence[str] = (), primary: str = "accuracy") -> None:
        if primary not in ("accuracy", "balanced_accuracy", "macro_f1"):
            raise UsageError(f"unknown metric {primary!r}", "use accuracy, balanced_accuracy or macro_f1")
        self.num_classes = num_classes
        self.class_names = tuple(class_names) or tuple(str(index) for index in range(num_classes))
        self.primary = primary

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Cross-entropy, averaged over the batch."""
        return F.cross_entropy(logits_of(outputs), targets)

    def divergence(self, outputs: Any, reference: Any) -> Tensor:
        """KL(reference || outputs), averaged over the batch."""
        log_q = F.log_softmax(logits_of(outputs), dim=1)
        log_p = F.log_softmax(logits_of(reference), dim=1)
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)

    def evaluate(self, model: nn.Module, loader: Batches) -> dict[str, Any]:
        """Metrics over the loader, the model in eval mode; raises UsageError on targets outside the classes."""
        device, was_training = device_of(model), model.training
        model.eval()
        predicted, expected = [], []
        try:
            with torch.inference_mode():
                for inputs, targets in loader:
                    logits = logits_of(call(model, to_device(inputs, device)))
                    if logits.shape[1] != self.num_classes:
                        raise UsageError(
                            f"the model answers {logits.shape[1]} classes, the data has {self.num_classes}",
                            "give the model as many outputs as the data has classes",
                        )
                    predicted.append(logits.argmax(1).cpu())
                    expected.append(torch.as_tensor(targets).cpu())
        finally:
            model.train(was_training)
        if not expected:
            raise UsageError("there is nothing to evaluate on: the split is empty")
        return classification_metrics(torch.cat(expected).numpy(), torch.cat(predicted).numpy(), self.class_names)


def logits_of(outputs: Any) -> Tensor:
    """The logits (N, classes) of a classifier's output: the first tensor, where auxiliary heads answer too."""
    if isinstance(outputs, Tensor):
        return outputs
    tensors = output_tensors(outputs)
    if not tensors:
        raise UsageError("the model returned no logits", "return a tensor (N, classes) or give --task")
    return tensors[0]


class FunctionTask:
    """A task made of two functions; see `make_task`."""

    def __init__(
        self,
        loss: Callable[[Any, Any], Tensor],
        evaluate: Callable[[nn.Module, Batches], Mapping[str, Any] | float],
        divergence: Callable[[Any, Any], Tensor] = relative_error,
        primary: str = "",
    ) -> None:
        self._loss, self._evaluate, self._divergence = loss, evaluate, divergence
        self.primary = primary

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """The user's loss; raises UsageError if it is not a scalar tensor."""
        value = self._loss(outputs, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise UsageError(f"the loss returned {type(value).__name__}, not a scalar tensor", "return loss.mean()")
        return value

    def evaluate(self, model: nn.Module, loader: Batches) -> dict[str, Any]:
        """The user's metrics, the model in eval mode and without gradients; a bare number is called "score"."""
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                answer = self._evaluate(model, loader)
        finally:
            model.train(was_training)
        metrics = dict(answer) if isinstance(answer, Mapping) else {"score": float(answer)}
        if not metrics:
            raise UsageError("evaluate returned no metric", "return a number or a dict, the most important one first")
        self.primary = self.primary or next(iter(metrics))
        if self.primary not in metrics:
            raise UsageError(f"evaluate returned {', '.join(metrics)}, but not {self.primary!r}")
        return metrics

    def divergence(self, outputs: Any, reference: Any) -> Tensor:
        """The user's divergence, or the mean relative squared error over all output tensors."""
        return self._divergence(outputs, reference)


def make_task(
    loss: Callable[[Any, Any], Tensor],
    evaluate: Callable[[nn.Module, Batches], Mapping[str, Any] | float],
    divergence: Callable[[Any, Any], Tensor] = relative_error,
    primary: str = "",
) -> FunctionTask:
    """A task from `loss(outputs, targets)` and `evaluate(model, loader)`.

    `evaluate` returns a number or a dict of metrics; higher is better, and the first key is the primary metric
    unless `primary` names another.
    """
    return FunctionTask(loss, evaluate, divergence, primary)


def load_task(spec: str) -> Task:
    """The task of `file.py:Task` or `package.module:Task`: a class without arguments, a function, or an object.

    Missing parts are filled in: `divergence` defaults to the relative squared error.
    """
    from edgeprune.sources.user_code import load_object

    found = load_object(spec)
    task = found() if (callable(found) and not isinstance(found, Task)) or isinstance(found, type) else found
    missing = [name for name in ("loss", "evaluate") if not callable(getattr(task, name, None))]
    if missing:
        raise UsageError(f"{spec} has no {' and no '.join(missing)}", "a task has loss(...) and evaluate(...)")
    if isinstance(task, Task):
        return task
    return make_task(
        task.loss, task.evaluate, getattr(task, "divergence", relative_error), getattr(task, "primary", "")
    )
