"""Core ML ML program (.mlpackage) for iOS 16 and later: float32, float16, int8 (iOS 17), int8 or palettised weights.

On Linux the file is written, its weights are compared and its program can be run by the reference interpreter of
`converters.mil`; what a phone's compiler makes of it is not claimed.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions

from converters.coreml_int8 import quantize_activations
from converters.dynamic import export, ranges
from converters.errors import ConversionError
from converters.options import Options

DISTRIBUTIONS = ("coremltools", "torch")
PALETTE_BITS = 6
_UNKNOWN = [torch.ops.aten.zero.default]  # coremltools 9 has no such operation, torch can write it as others
LEAST_WEIGHTS = 2048  # smaller tensors are left alone (coremltools' default): a palette of 64 would not pay


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to the folder `path`; compressed weights have float16 neighbours."""
    import coremltools as ct

    inputs = [ct.TensorType(shape=_shape(x, options), name=f"args_{i}") for i, x in enumerate(example_inputs)]
    if options.image is not None:
        inputs[0] = _image_input(graph_module, example_inputs[0], options, *options.image)
    program = export(graph_module, example_inputs, options).run_decompositions(get_decompositions(_UNKNOWN))
    _drop_aliases(program.graph)
    with _no_batch_norms():
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17 if options.quantize == "int8" else ct.target.iOS16,
            compute_precision=ct.precision.FLOAT32 if options.quantize == "none" else ct.precision.FLOAT16,
            inputs=inputs,
            skip_model_load=True,
        )
        _compress(model, options).save(str(path))


@contextlib.contextmanager
def _no_batch_norms() -> Iterator[None]:
    """Without coremltools' pass that makes a batch norm of a multiplication and an addition: it leaves the batch norm
    its default epsilon, so that each scales by 1 - 5e-6, which a DenseNet adds up to 1e-4; and in float16, which the
    compressing of weights runs it on, it fails. It is switched off, since compressing takes no list of passes."""
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY

    fusing = type(PASS_REGISTRY["common::fuse_elementwise_to_batchnorm"])
    with patch.object(fusing, "apply", lambda *_: None):
        yield


def _shape(x: Tensor, options: Options) -> tuple[Any, ...]:
    """The shape of an input, with a range for every axis that is left open."""
    import coremltools as ct

    axes = zip(x.shape, ranges(x.shape, options), strict=True)
    return tuple(
        n if low == high else ct.RangeDim(low, high, default=min(max(n, low), high)) for n, (low, high) in axes
    )


def _image_input(
    graph_module: fx.GraphModule, x: Tensor, options: Options, mean: tuple[float, ...], std: tuple[float, ...]
) -> Any:
    """Let the graph begin with x / (255 std) - mean / std, a channel at a time: Core ML's own scale is one for all."""
    import coremltools as ct

    if x.ndim != 4 or x.shape[1] not in (1, 3) or not len(mean) == len(std) == x.shape[1]:
        raise ConversionError(
            f"an image input needs (N, 1 or 3, H, W) and as many means and deviations, not {tuple(x.shape)} with "
            f"{len(mean)} and {len(std)}",
            "Leave --image-input out.",
        )
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    graph = graph_module.graph
    node = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(node):
        for name, value in (("pixel_shift", -shift / scale), ("pixel_scale", 1 / (255 * scale))):
            graph_module.register_buffer(name, value)
        factor = graph.get_attr("pixel_scale")
    with graph.inserting_after(factor):
        term = graph.get_attr("pixel_shift")
    with graph.inserting_after(term):
        scaled = graph.call_function(torch.ops.aten.mul.Tensor, (node, factor))
    with graph.inserting_after(scaled):
        normal = graph.call_function(torch.ops.aten.add.Tensor, (scaled, term))
    node.replace_all_uses_with(normal, delete_user_cb=lambda user: user is not scaled)
    graph_module.recompile()
    layout = ct.colorlayout.RGB if x.shape[1] == 3 else ct.colorlayout.GRAYSCALE
    return ct.ImageType(name="args_0", shape=_shape(x, options), color_layout=layout)


def _drop_aliases(graph: fx.Graph) -> None:
    """A slice that keeps everything becomes `alias`, which coremltools 9 does not know."""
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.alias.default and all(user.op != "output" for user in node.users):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _compress(model: "ct.models.MLModel", options: Options) -> "ct.models.MLModel":  # type: ignore[name-defined]  # noqa: F821
    import coremltools.optimize.coreml as cto

    if options.quantize == "int8":
        model = quantize_activations(model, options)
    if options.quantize in ("int8", "int8-weights"):
        weights = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=LEAST_WEIGHTS)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=weights))
    if options.quantize == "palettize":
        palette = cto.OpPalettizerConfig(mode="kmeans", nbits=PALETTE_BITS, weight_threshold=LEAST_WEIGHTS)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
    return model
