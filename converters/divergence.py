"""Where a file that fails the parity check goes wrong: the first layer, found by bisecting the exported graph.

A cut after a node is the network up to there, its outputs all values that the rest still needs. Whatever is right at a
cut and wrong at the next is the work of the one node between them. Ours.
"""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from converters.artifact import SUFFIXES, Format
from converters.chatter import silenced
from converters.conversion import convert_graph
from converters.fold import drop_unread_tensors, export_folded, module_path
from converters.options import PRECISIONS, Inputs, Options
from converters.parity import RULES, to_file
from converters.session import open_artifact

INPUTS = 4  # a wrong layer is wrong on any input
_LEAST_SNR_DB = 20.0


@dataclass(frozen=True)
class Divergence:
    """The first layer whose output the file gets wrong: `module_path` in the user's model, `op` of its graph.

    `error` is max |file - torch| / max |torch| there, `conversions` how many cuts were converted to find it.
    """

    module_path: str
    op: str
    error: float
    conversions: int

    def __str__(self) -> str:
        where = f"module {self.module_path}" if self.module_path else "the model itself"
        return f"the first layer that differs is {where} ({self.op}), by {self.error:.1e} of its largest value"


def first_divergence(
    module: nn.Module, inputs: Sequence[Inputs], format: Format, options: Options | None = None
) -> Divergence | None:
    """Bisect `module` between its inputs and its outputs; None if every cut, the whole network too, is right.

    About log2(operations) conversions, seconds each. Raises what `convert` raises.
    """
    options = replace(options or Options(), allow_portable=True, max_batch=1, sides=None)
    graph_module = export_folded(module, inputs[0])
    nodes = [node for node in graph_module.graph.nodes if node.op == "call_function" and _is_float(node)]
    errors: dict[int, float] = {}

    def wrong(index: int) -> bool:
        errors[index] = _error_at(graph_module, nodes[index].name, inputs[:INPUTS], format, options)
        return not errors[index] <= 0

    right, first_wrong = -1, len(nodes) - 1
    if not wrong(first_wrong):
        return None
    while first_wrong - right > 1:
        middle = (right + first_wrong) // 2
        if wrong(middle):
            first_wrong = middle
        else:
            right = middle
    node = nodes[first_wrong]
    return Divergence(module_path(node), str(node.target), errors[first_wrong], len(errors))


def _error_at(
    graph_module: fx.GraphModule, name: str, inputs: Sequence[Inputs], format: Format, options: Options
) -> float:
    """The largest relative error of a value that is wrong at the cut after node `name`; 0 if none is."""
    cut = _cut(graph_module, name)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        expected = [[x.numpy() for x in cut(*sample)] for sample in inputs]
        artifact = convert_graph(cut, inputs[0], format, Path(folder) / f"cut{SUFFIXES[format]}", options)
        with silenced():
            session = open_artifact(artifact)
            found = [session.run(to_file(artifact, sample)) for sample in inputs]
    worst = 0.0
    for index in range(len(expected[0])):
        ours, theirs = (np.stack([sample[index] for sample in each]).astype(float) for each in (expected, found))
        error, is_wrong = _judge(ours, theirs, RULES[PRECISIONS[options.quantize]].error)
        worst = max(worst, error if is_wrong else 0.0)
    return worst


def _judge(ours: Any, theirs: Any, tolerance: float | None) -> tuple[float, bool]:
    """Relative error, and whether it is too large: by the precision's rule, or where it has none by 20 dB."""
    if not np.isfinite(theirs).all():
        return float("inf"), True
    error = float(np.abs(theirs - ours).max() / max(np.abs(ours).max(), 1e-30))
    if tolerance is not None:
        return error, error > tolerance
    noise, signal = np.square(theirs - ours).sum(), np.square(ours).sum()
    return error, bool(noise > signal * 10 ** (-_LEAST_SNR_DB / 10))


def _cut(graph_module: fx.GraphModule, name: str) -> fx.GraphModule:
    """A copy that ends after node `name` and returns every float value that later nodes read."""
    cut = copy.deepcopy(graph_module)
    nodes = list(cut.graph.nodes)
    last = next(i for i, node in enumerate(nodes) if node.name == name)
    kept, later = nodes[: last + 1], set(nodes[last + 1 :])
    live = [n for n in kept if n.op == "call_function" and _is_float(n) and later & set(n.users)]
    for node in reversed(nodes[last + 1 :]):
        cut.graph.erase_node(node)
    cut.graph.output(tuple(live))
    cut.graph.eliminate_dead_code()
    drop_unread_tensors(cut)
    cut.recompile()
    return cut


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()
