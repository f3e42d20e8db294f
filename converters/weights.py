"""Compare the weights in a file with the network's: the proof for formats that cannot be run on this machine."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, fx, nn

from converters.artifact import Artifact
from converters.contents import Array, FileLayer, transposed_weight
from converters.fold import LAYER_OPS, export_folded, tensor_behind
from converters.inspection import read

TOLERANCES = {  # of the largest number of a layer
    "float32": 1e-5,  # folding a batch norm rounds once
    "float16": 1e-3,  # 2^-11, and what a scale of the same kind adds
    "int8": 6e-3,  # half a step of 127
    "int8-weights": 6e-3,
    "palettized-6bit": 0.1,  # 64 values for a tensor: its outliers are far from theirs
}


@dataclass(frozen=True)
class WeightCheck:
    """Every layer of the network found in the file, structure and numbers: max |file - torch| over weights and biases.

    `reason` says what did not match ("" if all did). Nothing is said about what the file computes.
    """

    max_abs_error: float
    layers: int
    passed: bool
    reason: str = ""


def check_weights(artifact: Artifact, module: nn.Module, example_inputs: tuple[Tensor, ...]) -> WeightCheck:
    """Match each layer of `module`, batch norms folded, with one of the file by shape and numbers.

    Meant for Core ML, whose weights are the folded ones as they stand. LiteRT may move an addition that follows a layer
    into its bias (MobileNetV3's hard sigmoid); there and for ExecuTorch `parity` is the proof.
    """
    ours = folded_layers(export_folded(module, example_inputs))
    theirs = list(read(artifact.path, artifact.format).layers)
    if len(ours) != len(theirs):
        return WeightCheck(
            float("nan"), len(theirs), False, f"{len(theirs)} layers in the file, {len(ours)} in the model"
        )
    worst, reasons = 0.0, []
    for name, layer in ours.items():
        same_shape = [i for i, other in enumerate(theirs) if other.weight.shape == layer.weight.shape]
        if not same_shape:
            return WeightCheck(
                float("nan"), len(ours), False, f"no layer of the file has the shape {layer.weight.shape} of {name}"
            )
        errors = {i: _difference(layer, theirs[i]) for i in same_shape}
        best = min(errors, key=lambda i: errors[i])
        del theirs[best]
        worst = max(worst, errors[best])
        if not errors[best] <= TOLERANCES[artifact.precision] * _largest(layer):
            reasons.append(f"the weights of {name} differ by {errors[best]:.1e}")
    return WeightCheck(worst, len(ours), not reasons, "; ".join(reasons))


def folded_layers(graph_module: fx.GraphModule) -> dict[str, FileLayer]:
    """The layers that a file of this graph holds, by the name of their weight, in call order.

    A layer that is called twice with the same weight counts twice, as it does in the files.
    """
    layers = {}
    for node in graph_module.graph.nodes:
        if node.target not in LAYER_OPS:
            continue
        weight, bias = (tensor_behind(graph_module, arg) for arg in (*node.args[1:3], None)[:2])
        array: Array = weight.detach().numpy()
        if LAYER_OPS[node.target] == 1:
            array = transposed_weight(array, groups=node.args[6] if len(node.args) > 6 else 1)
        layers[f"{node.args[1].target} ({node.name})"] = FileLayer(
            node.name, array, None if bias is None else bias.detach().numpy()
        )
    return layers


def _largest(layer: FileLayer) -> float:
    return float(max(np.abs(layer.weight).max(), 0.0 if layer.bias is None else np.abs(layer.bias).max()))


def _difference(ours: FileLayer, theirs: FileLayer) -> float:
    zeros = np.zeros(ours.weight.shape[0], np.float32)
    biases = [zeros if layer.bias is None else layer.bias.ravel() for layer in (ours, theirs)]
    return float(max(np.abs(ours.weight - theirs.weight).max(), np.abs(biases[0] - biases[1]).max()))
