"""Does the file compute what the network computes? Judged on real inputs, and only where the outputs could show it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from converters.artifact import Artifact
from converters.chatter import silenced
from converters.session import open_artifact

Outputs = list[npt.NDArray[Any]]

TOLERANCE = 1e-4  # float32 kernels that sum in another order differ by 1e-7 to 1e-5 of the largest output
NEAR_ZERO = (
    1e-3  # an untrained MobileNetV2 answers 2e-9; logits, probabilities and masks that mean something exceed this
)
CONSTANT = 1e-3  # spread over the inputs, relative to the largest output, below which the input plays no part
MOST_SNR_DB = 200.0
MOST_ROUNDING = 1e-3  # of torch's own float32: a fault of that size would hide in the rounding


@dataclass(frozen=True)
class Rule:
    """What a precision may cost. `error`: max |file - torch| / max |torch|; `agreement`: least share of equal top-1
    answers; `lost`: most accuracy lost, a fraction; `snr_db`: least signal-to-noise where there is no top-1 answer."""

    error: float | None = None
    agreement: float | None = None
    lost: float | None = None
    snr_db: float | None = None


_COMPRESSED = Rule(agreement=0.97, lost=0.01, snr_db=20.0)
RULES = {
    "float32": Rule(error=TOLERANCE),
    "float16": Rule(error=1e-2, agreement=0.99),
    "int8": _COMPRESSED,
    "int8-weights": _COMPRESSED,
    "palettized-6bit": _COMPRESSED,
}


@dataclass(frozen=True)
class Parity:
    """Outcome of a comparison over `inputs` inputs: max |file - torch| / max |torch| over the worst output tensor.

    `reason` says why it did not pass ("" if it passed). A comparison that could not have failed does not pass.
    `snr_db` is 10 log10(sum torch^2 / sum (file - torch)^2) of the worst output, 200 at most. `agreement` is the share
    of equal top-1 answers of the first output (None where it has no axis of classes), `accuracy` the file's and
    `reference_accuracy` torch's, both on the same inputs (None without labels); fractions in [0, 1].
    """

    max_rel_error: float
    inputs: int
    passed: bool
    reason: str = ""
    snr_db: float | None = None
    agreement: float | None = None
    accuracy: float | None = None
    reference_accuracy: float | None = None


def parity(
    artifact: Artifact,
    module: nn.Module,
    inputs: Sequence[tuple[Tensor, ...]],
    threads: int = 1,
    labels: Sequence[int] | None = None,
) -> Parity:
    """Run the file and `module` (in eval mode) on the same inputs, compare every output by the rule of its precision.

    Each of `inputs` is a tuple in the shapes that `module` takes; at least 2 that differ are needed, else the check
    could not see a file that ignores its input. `labels` (a class index an input) add accuracies. A Core ML file runs
    in the reference interpreter of `converters.mil`. A float32 file that is further from torch than the rule allows
    passes if its distance from float64 is at most twice torch's own (1e-3 at most); `max_rel_error` is that distance.
    """
    if len(inputs) < 2:
        return Parity(
            float("nan"), len(inputs), False, "at least 2 inputs are needed to see that the output follows them"
        )
    with silenced():
        session = open_artifact(artifact, threads)
        found = [session.run(to_file(artifact, sample)) for sample in inputs]
    expected = reference(module, inputs)
    result = compare(expected, found, RULES[artifact.precision], labels)
    if result.passed or artifact.precision != "float32" or not result.max_rel_error > TOLERANCE:
        return result
    try:
        exact = reference(copy.deepcopy(module).double(), [_widened(sample) for sample in inputs])
    except (RuntimeError, TypeError):  # the network insists on float32 somewhere
        return result
    return as_exact_as(result, exact, expected, found)


def as_exact_as(
    result: Parity, exact: Sequence[Outputs], expected: Sequence[Outputs], found: Sequence[Outputs]
) -> Parity:
    """Let a float32 file pass whose distance from float64 is at most twice that of torch's float32.

    A network may magnify rounding, and then two orders of summation differ by more than the rule: an EfficientNet-B0
    with generic weights is 1e-4 from float64 in torch itself, 1.7e-4 in LiteRT, and these two 2.6e-4 from each other.
    A network that rounds by more than `MOST_ROUNDING` in torch proves nothing, and fails.
    """
    torch_error, file_error = (compare(exact, each).max_rel_error for each in (expected, found))
    if not torch_error <= MOST_ROUNDING:
        reason = (
            f"{result.reason}; but torch's own float32 is {torch_error:.1e} from float64: the network magnifies "
            "rounding, and the comparison proves nothing"
        )
        return replace(result, reason=reason)
    if file_error <= 2 * torch_error:
        return replace(result, max_rel_error=file_error, passed=True, reason="")
    return result


def _widened(sample: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.double() if x.is_floating_point() else x for x in sample)


def to_file(artifact: Artifact, sample: tuple[Tensor, ...]) -> list[npt.NDArray[Any]]:
    """An input of the network as the file takes it: in the artifact's layout, as pixels if it normalises by itself."""
    found = []
    for x, spec in zip(sample, artifact.inputs, strict=True):
        if artifact.normalisation is not None:
            mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in artifact.normalisation)
            x = 255 * (x * std + mean)
        found.append((x.permute(0, 2, 3, 1).contiguous() if spec.layout == "NHWC" else x).numpy())
    return found


def compare(
    expected: Sequence[Outputs],
    found: Sequence[Outputs],
    rule: Rule = RULES["float32"],
    labels: Sequence[int] | None = None,
) -> Parity:
    """Compare outputs[input][tensor] of the network and of the file. Shapes must match."""
    n = len(expected)
    if len(expected[0]) != len(found[0]):
        return Parity(float("nan"), n, False, f"the file has {len(found[0])} outputs, the model {len(expected[0])}")
    errors, snrs, reasons = [], [], []
    for index in range(len(expected[0])):
        ours = np.stack([sample[index] for sample in expected]).astype(np.float64)
        theirs = np.stack([sample[index] for sample in found]).astype(np.float64)
        if ours.shape != theirs.shape:
            shapes = f"{theirs.shape[1:]}, the model's {ours.shape[1:]}"
            return Parity(float("nan"), n, False, f"output {index} of the file has shape {shapes}")
        largest = float(np.abs(ours).max())
        error = float(np.abs(theirs - ours).max()) / max(largest, 1e-30)
        errors.append(error if np.isfinite(error) else float("inf"))
        snrs.append(_snr_db(ours, theirs))
        reasons += _silent(index, ours, theirs, largest)
        if not reasons and rule.error is not None and error > rule.error:
            reasons.append(f"output {index} differs by {error:.1e} of its largest value, more than {rule.error:.0e}")
    answers = [_answers(expected), _answers(found)]
    agreement = None if answers[0] is None or answers[1] is None else float((answers[0] == answers[1]).mean())
    accuracies = [None if labels is None or a is None or a.ndim != 1 else float((a == labels).mean()) for a in answers]
    if not reasons:
        reasons = _broken(rule, agreement, accuracies, min(snrs))
    return Parity(max(errors), n, not reasons, "; ".join(reasons), min(snrs), agreement, accuracies[1], accuracies[0])


def _silent(index: int, ours: npt.NDArray[Any], theirs: npt.NDArray[Any], largest: float) -> list[str]:
    """Why a comparison of this output proves nothing."""
    if not np.isfinite(ours).all():
        return [f"output {index} of the model itself is not finite: the comparison proves nothing"]
    if not np.isfinite(theirs).all():
        return [f"output {index} of the file is not finite, the model's is"]
    if largest < NEAR_ZERO:
        return [f"output {index} of the model itself is near zero (max {largest:.1e}): the comparison proves nothing"]
    if float(ours.std(axis=0).max()) < CONSTANT * largest:
        return [f"output {index} of the model itself hardly depends on the input: the comparison proves nothing"]
    if float(theirs.std(axis=0).max()) < CONSTANT * largest:
        return [f"output {index} of the file hardly depends on the input, the model's does"]
    return []


def _broken(rule: Rule, agreement: float | None, accuracies: list[float | None], snr_db: float) -> list[str]:
    reasons = []
    file_accuracy, accuracy = accuracies[1], accuracies[0]
    if rule.agreement is not None and agreement is not None and agreement < rule.agreement:
        reasons.append(f"{agreement:.1%} of the top-1 answers are the model's, less than {rule.agreement:.0%}")
    if rule.lost is not None and accuracy is not None and file_accuracy is not None:
        lost = accuracy - file_accuracy
        if lost > rule.lost + 1e-12:
            reasons.append(f"{100 * lost:.1f} points of accuracy lost ({accuracy:.1%} -> {file_accuracy:.1%})")
    if rule.snr_db is not None and agreement is None and snr_db < rule.snr_db:
        reasons.append(f"signal to noise {snr_db:.1f} dB, less than {rule.snr_db:.0f} dB")
    return reasons


def _snr_db(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    signal, noise = float(np.square(ours).sum()), float(np.square(theirs - ours).sum())
    if not np.isfinite(noise) or not signal:
        return float("-inf")
    return min(MOST_SNR_DB, 10 * float(np.log10(signal / max(noise, signal * 1e-20))))


def _answers(outputs: Sequence[Outputs]) -> npt.NDArray[Any] | None:
    """Top-1 answers of the first output: (inputs,) for (1, classes), one a place for (1, classes, h, w)."""
    first = np.stack([sample[0] for sample in outputs])
    if first.ndim < 3 or first.shape[2] < 2:
        return None
    answers: npt.NDArray[Any] = first.argmax(axis=2)
    return answers[:, 0] if first.ndim == 3 and first.shape[1] == 1 else answers


def reference(module: nn.Module, inputs: Sequence[tuple[Tensor, ...]]) -> list[Outputs]:
    """outputs[input][tensor] of the network in eval mode; its modes are left as they were."""
    modes = {child: child.training for child in module.modules()}
    try:
        module.eval()
        with torch.no_grad():
            outputs = [pytree.tree_leaves(module(*sample)) for sample in inputs]
    finally:
        for child, training in modes.items():
            child.training = training
    return [[tensor.numpy() for tensor in sample] for sample in outputs]
