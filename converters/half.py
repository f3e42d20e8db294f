"""Float16 inside, float32 at the edges: for formats whose own tools do not cast the network."""

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten


def halve(graph_module: fx.GraphModule) -> None:
    """Cast the weights of an exported graph to float16, its inputs on entry, and its outputs back, in place."""
    for module in graph_module.modules():
        module._parameters = {name: _half(tensor) for name, tensor in module._parameters.items()}  # type: ignore[misc]
        module._buffers = {name: _half(tensor) for name, tensor in module._buffers.items()}
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.meta["val"].is_floating_point():
            with graph.inserting_after(node):
                cast = graph.call_function(aten.to.dtype, (node, torch.float16))
            node.replace_all_uses_with(cast, delete_user_cb=lambda user, cast=cast: user is not cast)
        elif node.op == "output":
            with graph.inserting_before(node):
                node.args = (tuple(_float(graph, value) for value in node.args[0]),)
    graph_module.recompile()


def _float(graph: fx.Graph, value: fx.Node) -> fx.Node:
    floating = value.meta["val"].is_floating_point()
    return graph.call_function(aten.to.dtype, (value, torch.float32)) if floating else value


def _half(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or not tensor.is_floating_point():
        return tensor
    half = tensor.detach().half()
    return nn.Parameter(half, requires_grad=False) if isinstance(tensor, nn.Parameter) else half
