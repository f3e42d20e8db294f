"""ExecuTorch (.pte) with the XNNPACK delegate: float32; what XNNPACK does not take runs in portable kernels."""

from pathlib import Path

import torch
from torch import Tensor, fx

from converters.options import Options

DISTRIBUTIONS = ("executorch", "torch")


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to `path`."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    _expand_hard_sigmoid(graph_module)
    program = torch.export.export(graph_module, example_inputs)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def _expand_hard_sigmoid(graph_module: fx.GraphModule) -> None:
    """ExecuTorch's own expansion casts float to float twice outside the delegate, at each squeeze-excite block."""
    aten = torch.ops.aten
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.target in (aten.hardsigmoid.default, aten.hardsigmoid_.default):
            with graph.inserting_before(node):
                shifted = graph.call_function(aten.add.Tensor, (node.args[0], 3.0))
                clamped = graph.call_function(aten.hardtanh.default, (shifted, 0.0, 6.0))
                scaled = graph.call_function(aten.mul.Tensor, (clamped, 1.0 / 6.0))
            node.replace_all_uses_with(scaled)
            graph.erase_node(node)
    graph_module.recompile()
