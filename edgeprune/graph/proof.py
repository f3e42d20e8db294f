"""The proof of a surgery, before it is accepted.

On generic float64 weights the pruned network must equal the oracle, and a consumer whose inputs are permuted must
move the output: without the second half an equality proves nothing. Draws of weights are repeated, because a draw
may hide a consumer (two channels, both cut off by their ReLU): each must show the equality, and each consumer must be
noticed by one of them. All groups are proved at once; what fails is found by bisection, put back, and reported.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.errors import ProofError
from edgeprune.graph.generic import calibrate, generic_copy, generic_inputs
from edgeprune.graph.layers import Layer
from edgeprune.graph.oracle import run_dense
from edgeprune.graph.surgery import make_widths, prune
from edgeprune.graph.trace import Trace, preserved_buffers, switched
from edgeprune.graph.widths import Widths

_CURE = "a width is written in its code? then prune DIR/model.pt2 of `edgeprune groups -o DIR`: there it follows"
TOLERANCE = 1e-9
NOTICED = 1e-3
MISWIRED = 12
_DRAWS = 10


@dataclass(frozen=True)
class Proof:
    """`max_rel_error`: largest difference to the oracle over its largest output. `miswired_rel_change`: the smallest
    such change caused by permuting the inputs of one consumer, each in the draw of weights that shows it best.
    `frozen`: groups that were put back, with the reason.
    """

    max_rel_error: float
    miswired_rel_change: float
    frozen: dict[str, str] = field(default_factory=dict)
    ok: bool = False


def prove(model: nn.Module, trace: Trace, coupling: Coupling, kept: dict[str, Tensor]) -> Proof:
    """Prove that pruning `model` to `kept`, without the groups in the result's `frozen`, is exact.

    Raises SurgeryError if the kept set is not legal.
    """
    coupling.check(kept)
    rest, frozen, changes, worst = dict(kept), dict[str, str](), dict[str, float](), 0.0
    for seed in range(_DRAWS):
        prover = _Prover(model, trace, coupling, seed, rest)
        pruned, error, reason = prover.attempt(rest)
        if reason is not None:
            frozen |= prover.culprits(rest)
            rest = {name: units for name, units in kept.items() if name not in frozen}
            pruned, error, reason = prover.attempt(rest)
        worst = max(worst, error)
        if pruned is None or reason is not None:
            return Proof(worst, 0.0, frozen, False)
        consumers = [name for name in prover.consumers(rest) if changes.get(name, 0.0) <= NOTICED]
        for name, change in prover.miswired(pruned, consumers).items():
            changes[name] = max(changes.get(name, 0.0), change)
        if all(changes[name] > NOTICED for name in consumers):
            break
    noticed = min((changes[name] for name in prover.consumers(rest)), default=torch.inf)
    return Proof(worst, noticed, frozen, noticed > NOTICED)


def prune_proved(
    model: nn.Module, trace: Trace, coupling: Coupling, kept: dict[str, Tensor]
) -> tuple[nn.Module, Widths, Proof]:
    """The pruned copy of `model`, its widths and the proof. Groups that cannot be proved stay dense (`proof.frozen`).

    Raises SurgeryError if the kept set is not legal, ProofError if even then nothing could be proved.
    """
    proof = prove(model, trace, coupling, kept)
    if not proof.ok:
        raise ProofError(
            f"the pruned network could not be proved (error {proof.max_rel_error:.1e}, a mis-wiring moves the output "
            f"by {proof.miswired_rel_change:.1e})",
            "this is a limit of the tracer or an output that hardly depends on the input: please report the model",
        )
    proved = {name: units for name, units in kept.items() if name not in proof.frozen}
    pruned, widths = prune(model, coupling, proved)
    return pruned, widths, proof


class _Prover:
    """One draw of generic weights, Kaiming for the fan-in that each layer has in the pruned network."""

    def __init__(
        self, model: nn.Module, trace: Trace, coupling: Coupling, seed: int, kept: dict[str, Tensor] | None = None
    ) -> None:
        self.trace, self.coupling = trace, coupling
        self.dense = generic_copy(model, seed)
        self.inputs = generic_inputs(trace.example_inputs, seed)
        calibrate(self.dense, self.inputs)
        self.amplify({name: len(units) for name, units in (kept or {}).items()})
        named = [
            *self.dense.named_parameters(remove_duplicate=False),
            *self.dense.named_buffers(remove_duplicate=False),
        ]
        self.state: dict[str, Tensor] = {name: tensor.detach() for name, tensor in named}

    def amplify(self, counts: dict[str, int]) -> None:
        """Or else biases drown what the few channels of a narrow network say."""
        parameters = dict(self.dense.named_parameters())
        for layer in {x.weight: x for x in self.coupling.layers if x.groups == 1}.values():
            ratio = self.coupling.channels(layer, {})[0] / self.coupling.channels(layer, counts)[0]
            with torch.no_grad():
                parameters[layer.weight].mul_(ratio**0.5)

    def attempt(self, kept: dict[str, Tensor]) -> tuple[nn.Module | None, float, str | None]:
        """(pruned generic network, relative error, None) or what went wrong."""
        pruned, outputs, reason = self.run(self.dense, self.inputs, kept)
        if reason is not None:
            return None, torch.inf, reason
        mask = self.coupling.mask(kept)
        expected = run_dense(self.trace.program, self.state, self.inputs, self.coupling.labels, mask)
        error = _difference(outputs, expected)
        reason = None if error <= TOLERANCE else f"differs from the masked dense network by {error:.1e} when pruned"
        return pruned, error, reason

    def run(
        self, dense: nn.Module, inputs: tuple[Tensor, ...], kept: dict[str, Tensor]
    ) -> tuple[nn.Module, list[Tensor], str | None]:
        """(pruned copy of `dense`, outputs, None) or why it does not run; heads that only training reaches run too."""
        pruned = make_widths(dense, self.coupling, kept).apply(dense)
        try:
            outputs = _outputs(pruned, inputs)
            if self.trace.train_only:
                twice = tuple(x if x.dim() == 0 or x.shape[0] > 1 else torch.cat([x, x]) for x in inputs)
                with switched(pruned, training=True), preserved_buffers(pruned), torch.no_grad():
                    pruned(*twice)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as failure:
            first = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            return pruned, [], f"does not run when pruned ({_CURE}): {first}"
        return pruned, outputs, None

    def culprits(self, kept: dict[str, Tensor]) -> dict[str, str]:
        """The groups that stay dense: those that stop the network, found on shapes alone, then those that change it."""
        sketch = copy.deepcopy(self.dense).to("meta")
        inputs = tuple(x.to("meta") for x in self.inputs)
        found: dict[str, str] = {}
        if self.run(sketch, inputs, {})[2] is None:
            found = _bisect(kept, lambda some: self.run(sketch, inputs, some)[2])
        rest = {name: units for name, units in kept.items() if name not in found}
        return found | _bisect(rest, lambda some: self.attempt(some)[2])

    def consumers(self, kept: dict[str, Tensor]) -> list[str]:
        """Weights of up to MISWIRED layers, spread over the network, that mix channels of pruned groups."""
        counts = {name: len(units) for name, units in kept.items()}
        layers = [layer for layer in self.coupling.layers if self.reads(layer, kept)]
        names = list(dict.fromkeys(x.weight for x in layers if self.coupling.channels(x, counts)[0] > 1))
        return names[:: max(1, -(-len(names) // MISWIRED))]

    def miswired(self, pruned: nn.Module, consumers: list[str]) -> dict[str, float]:
        """Relative change of the output when the inputs of each consumer in turn are rotated by one channel.

        Runs in float32: what must be noticed is a thousand times its rounding.
        """
        single, inputs = pruned.float(), tuple(x.float() if x.is_floating_point() else x for x in self.inputs)
        expected = _outputs(single, inputs)
        parameters = dict(single.named_parameters())
        axes = {layer.weight: layer.in_axis for layer in self.coupling.layers}
        changes = {}
        for name in consumers:
            weight = parameters[name]
            original = weight.detach().clone()
            with torch.no_grad():
                weight.copy_(original.roll(1, axes[name]))
                changes[name] = _difference(_outputs(single, inputs), expected)
                weight.copy_(original)
        return changes

    def reads(self, layer: Layer, kept: dict[str, Tensor]) -> bool:
        """Whether a layer mixes channels of a pruned group."""
        return layer.op != "depthwise" and layer.op != "grouped" and any(p.group in kept for p in layer.in_parts)


def _bisect(kept: dict[str, Tensor], judge: Callable[[dict[str, Tensor]], str | None]) -> dict[str, str]:
    """The groups with which `judge` finds a fault, and the fault; groups that only fail together are all named."""
    reason = judge(kept)
    if reason is None:
        return {}
    names = list(kept)
    if len(names) == 1:
        return {names[0]: reason}
    half = len(names) // 2
    found: dict[str, str] = {}
    for part in (names[:half], names[half:]):
        found |= _bisect({name: kept[name] for name in part}, judge)
    rest = {name: units for name, units in kept.items() if name not in found}
    if (together := judge(rest)) is not None:
        found |= dict.fromkeys(rest, together)
    return found


def _outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return [leaf for leaf in pytree.tree_leaves(model(*inputs)) if isinstance(leaf, Tensor)]


def _difference(outputs: list[Tensor], expected: list[Tensor]) -> float:
    """Largest absolute difference over the largest absolute expected value, over all outputs; inf if shapes differ."""
    worst = 0.0
    if len(outputs) != len(expected):
        return torch.inf
    for out, reference in zip(outputs, expected, strict=True):
        if out.shape != reference.shape or not bool(torch.isfinite(reference).all()):
            return torch.inf
        scale = max(float(reference.abs().max()), 1e-300)
        worst = max(worst, float((out - reference).abs().max()) / scale)
    return worst if worst == worst else torch.inf
