"""ExecuTorch (.pte) with the XNNPACK delegate: float32; what XNNPACK does not take runs in portable kernels."""

from pathlib import Path

import torch
from torch import Tensor, fx

DISTRIBUTIONS = ("executorch", "torch")


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path) -> None:
    """Write the exported network to `path`."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(graph_module, example_inputs)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)
