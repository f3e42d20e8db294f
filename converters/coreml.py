"""Core ML ML program (.mlpackage) for iOS 16 and later: float32, float16, int8 or 6-bit palettised weights.

On Linux the file is written, its weights are compared and its program can be run by the reference interpreter of
`converters.mil`; what a phone's compiler makes of it is not claimed.
"""

from pathlib import Path

import torch
from torch import Tensor, fx

from converters.options import Options

DISTRIBUTIONS = ("coremltools", "torch")
PALETTE_BITS = 6
LEAST_WEIGHTS = 2048  # smaller tensors are left alone (coremltools' default): a palette of 64 would not pay


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to the folder `path`; compressed weights have float16 neighbours."""
    import coremltools as ct

    program = torch.export.export(graph_module, example_inputs).run_decompositions({})
    _drop_aliases(program.graph)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32 if options.quantize == "none" else ct.precision.FLOAT16,
        inputs=[ct.TensorType(shape=x.shape, name=f"args_{i}") for i, x in enumerate(example_inputs)],
        skip_model_load=True,
    )
    _compress(model, options).save(str(path))


def _drop_aliases(graph: fx.Graph) -> None:
    """A slice that keeps everything becomes `alias`, which coremltools 9 does not know."""
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.alias.default and all(user.op != "output" for user in node.users):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _compress(model: "ct.models.MLModel", options: Options) -> "ct.models.MLModel":  # type: ignore[name-defined]  # noqa: F821
    import coremltools.optimize.coreml as cto

    if options.quantize == "int8-weights":
        weights = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=LEAST_WEIGHTS)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=weights))
    if options.quantize == "palettize":
        palette = cto.OpPalettizerConfig(mode="kmeans", nbits=PALETTE_BITS, weight_threshold=LEAST_WEIGHTS)
        return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
    return model
