"""The mean over height and width, in the one form that every backend takes as global average pooling.

Without the kept axes, litert-torch leaves a TRANSPOSE before it, and XNNPACK does not take it at all.
"""

import torch
from torch import fx

aten = torch.ops.aten


def keep_mean_axes(graph_module: fx.GraphModule) -> None:
    """Let means over (H, W) of (N, C, H, W) keep these axes, in place; a view drops them afterwards."""
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.target is not aten.mean.dim or (len(node.args) > 2 and node.args[2]):
            continue
        rank = node.args[0].meta["val"].ndim
        if rank == 4 and sorted(axis % rank for axis in node.args[1]) == [2, 3]:
            with graph.inserting_before(node):
                mean = graph.call_function(aten.mean.dim, (node.args[0], [-1, -2], True))
                shape = [n if isinstance(n, int) else -1 for n in node.meta["val"].shape]  # an open batch
                view = graph.call_function(aten.view.default, (mean, shape))
            mean.meta, view.meta = {**node.meta, "val": node.meta["val"][..., None, None]}, dict(node.meta)
            node.replace_all_uses_with(view)
            graph.erase_node(node)
    graph_module.recompile()
