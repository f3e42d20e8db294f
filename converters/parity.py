"""Does the file compute what the network computes? Judged on real inputs, and only where the outputs could show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from converters.artifact import Artifact
from converters.chatter import silenced

Outputs = list[npt.NDArray[Any]]

TOLERANCE = 1e-4  # float32 kernels that sum in another order differ by 1e-7 to 1e-5 of the largest output
NEAR_ZERO = (
    1e-3  # an untrained MobileNetV2 answers 2e-9; logits, probabilities and masks that mean something exceed this
)
CONSTANT = 1e-3  # spread over the inputs, relative to the largest output, below which the input plays no part


@dataclass(frozen=True)
class Parity:
    """Outcome of a comparison over `inputs` inputs: max |file - torch| / max |torch| over the worst output tensor.

    `reason` says why it did not pass ("" if it passed). A comparison that could not have failed does not pass.
    """

    max_rel_error: float
    inputs: int
    passed: bool
    reason: str = ""


def parity(artifact: Artifact, module: nn.Module, inputs: Sequence[tuple[Tensor, ...]], threads: int = 1) -> Parity:
    """Run the file and `module` (in eval mode) on the same inputs and compare every output.

    Each of `inputs` is a tuple in the shapes the file was made for; at least 2 that differ are needed, else the check
    could not see a file that ignores its input. A Core ML file is not run here: see `converters.weights.check_weights`.
    """
    from profilers.runtimes import open_session

    if artifact.format == "coreml":
        raise ValueError("a Core ML file cannot be run on this machine: use check_weights")
    if len(inputs) < 2:
        return Parity(
            float("nan"), len(inputs), False, "at least 2 inputs are needed to see that the output follows them"
        )
    with silenced():
        session = open_session(artifact.path, artifact.format, threads)
        found = [session.run([x.numpy() for x in sample]) for sample in inputs]
    return compare(_reference(module, inputs), found)


def compare(expected: Sequence[Outputs], found: Sequence[Outputs]) -> Parity:
    """Compare outputs[input][tensor] of the network and of the file. Shapes must match."""
    n = len(expected)
    if len(expected[0]) != len(found[0]):
        return Parity(float("nan"), n, False, f"the file has {len(found[0])} outputs, the model {len(expected[0])}")
    worst, reasons = 0.0, []
    for index in range(len(expected[0])):
        ours = np.stack([sample[index] for sample in expected]).astype(np.float64)
        theirs = np.stack([sample[index] for sample in found]).astype(np.float64)
        if ours.shape != theirs.shape:
            shapes = f"{theirs.shape[1:]}, the model's {ours.shape[1:]}"
            return Parity(float("nan"), n, False, f"output {index} of the file has shape {shapes}")
        largest = float(np.abs(ours).max())
        error = float(np.abs(theirs - ours).max()) / max(largest, 1e-30)
        worst = max(worst, error) if np.isfinite(error) else float("inf")
        if not np.isfinite(ours).all() or not np.isfinite(theirs).all():
            reasons.append(f"output {index} is not finite")
        elif largest < NEAR_ZERO:
            reasons.append(f"output {index} is near zero (max {largest:.1e}): the comparison proves nothing")
        elif float(ours.std(axis=0).max()) < CONSTANT * largest:
            reasons.append(f"output {index} hardly depends on the input: the comparison proves nothing")
        elif error > TOLERANCE:
            reasons.append(f"output {index} differs by {error:.1e} of its largest value, more than {TOLERANCE:.0e}")
    return Parity(worst, n, not reasons, "; ".join(reasons))


def _reference(module: nn.Module, inputs: Sequence[tuple[Tensor, ...]]) -> list[Outputs]:
    modes = {child: child.training for child in module.modules()}
    try:
        module.eval()
        with torch.no_grad():
            outputs = [pytree.tree_leaves(module(*sample)) for sample in inputs]
    finally:
        for child, training in modes.items():
            child.training = training
    return [[tensor.numpy() for tensor in sample] for sample in outputs]
