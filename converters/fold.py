"""Export a network and fold its batch normalisation, so that every converter starts from the same small graph.

A batch norm in eval mode is x * scale + shift per channel. Behind a convolution or linear layer that nobody else reads
it is multiplied into that layer's weight and bias (Jacob et al. 2018, section 3.2, eq. 14); elsewhere it becomes one
multiplication and one addition.
"""

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten
LAYER_OPS: dict[Any, int] = {  # layers a batch norm can be folded into -> axis of the weight that is the output
    aten.conv1d.default: 0,
    aten.conv2d.default: 0,
    aten.conv3d.default: 0,
    aten.conv1d.padding: 0,
    aten.conv2d.padding: 0,
    aten.conv3d.padding: 0,
    aten.conv_transpose2d.input: 1,
    aten.linear.default: 0,
}


def export_folded(module: nn.Module, example_inputs: tuple[Tensor, ...], dynamic_shapes: Any = None) -> fx.GraphModule:
    """Export a deep copy of `module` in eval mode and fold its batch norms; `module` itself is not touched.

    The graph has the shapes of `example_inputs` where `dynamic_shapes` (torch.export's) leaves none open. It returns
    the tensors that `module` returns as one flat tuple, and holds its weights under their names (a folded layer gains
    a bias). Whatever `torch.export` raises passes through.
    """
    copied = copy.deepcopy(module).cpu().eval()
    inputs = tuple(x.detach().cpu() for x in example_inputs)
    program = torch.export.export(copied, inputs, dynamic_shapes=dynamic_shapes, strict=False)
    graph_module: fx.GraphModule = program.module(check_guards=False)
    with torch.no_grad():
        for node in list(graph_module.graph.nodes):
            if node.target is aten.batch_norm.default and node.args[5] is False:
                _fold(graph_module, node)
    graph_module.graph.set_codegen(fx.graph.CodeGen())
    graph_module.graph.eliminate_dead_code()
    drop_unread_tensors(graph_module)
    graph_module.recompile()
    for submodule in graph_module.modules():
        submodule.training = False  # .eval() is refused by exported graphs
    return graph_module


def module_path(node: fx.Node) -> str:
    """The path of the user's module that a node of an exported graph comes from; "" for the model itself."""
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]) if stack else ""


def _fold(graph_module: fx.GraphModule, norm: fx.Node) -> None:
    source, gamma, beta, mean, var = (tensor_behind(graph_module, arg) for arg in norm.args[:5])
    scale = (var.double() + norm.args[7]).rsqrt()
    scale = scale if gamma is None else scale * gamma.double()
    shift = -mean.double() * scale
    shift = shift if beta is None else shift + beta.double()
    if _can_fold_into(source):
        _multiply_into(graph_module, source, scale, shift)
        norm.replace_all_uses_with(source)
    else:
        assert isinstance(norm.args[3], fx.Node)
        owner = str(norm.args[3].target).rpartition(".")[0]
        shape = (-1, *[1] * (norm.meta["val"].ndim - 2))
        with graph_module.graph.inserting_before(norm):
            scaled: Any = norm.args[0]
            for op, name, value in ((aten.mul.Tensor, "scale", scale), (aten.add.Tensor, "shift", shift)):
                constant = _new_tensor(graph_module, f"{owner}.{name}", value.float().reshape(shape))
                scaled = graph_module.graph.call_function(op, (scaled, constant))
                scaled.meta = dict(norm.meta)
        norm.replace_all_uses_with(scaled)
    graph_module.graph.erase_node(norm)


def _can_fold_into(layer: Any) -> bool:
    """Only a layer read by nobody else, whose weight and bias belong to this one call."""
    if not isinstance(layer, fx.Node) or layer.target not in LAYER_OPS or len(layer.users) != 1:
        return False
    if layer.target is aten.linear.default and layer.meta["val"].ndim != 2:
        return False  # the norm's channel axis is 1, the layer's output axis is the last
    weights = [arg for arg in layer.args[1:3] if isinstance(arg, fx.Node)]
    return all(weight.op == "get_attr" and len(weight.users) == 1 for weight in weights)


def _multiply_into(graph_module: fx.GraphModule, layer: fx.Node, scale: Tensor, shift: Tensor) -> None:
    weight_node = layer.args[1]
    assert isinstance(weight_node, fx.Node)
    weight = tensor_behind(graph_module, weight_node)
    ones = [1] * (weight.ndim - 2)
    if LAYER_OPS[layer.target] == 0:
        scaled = weight.double() * scale.reshape(-1, 1, *ones)
    else:  # (inputs, outputs per group): the inputs of one group are neighbours
        groups: Any = layer.args[6] if len(layer.args) > 6 else 1
        per_group = scale.reshape(groups, 1, -1, *ones)
        scaled = (weight.double().reshape(groups, -1, *weight.shape[1:]) * per_group).reshape(weight.shape)
    weight_name = str(weight_node.target)
    _set_tensor(graph_module, weight_name, scaled.to(weight.dtype))
    bias_node = layer.args[2] if len(layer.args) > 2 else layer.kwargs.get("bias")
    if isinstance(bias_node, fx.Node):
        bias = tensor_behind(graph_module, bias_node).double() * scale + shift
        _set_tensor(graph_module, str(bias_node.target), bias.to(weight.dtype))
        return
    with graph_module.graph.inserting_before(layer):
        owner = weight_name.rpartition(".")[0]
        new = _new_tensor(graph_module, f"{owner}.bias" if owner else "bias", shift.to(weight.dtype))
    layer.args = (*layer.args[:2], new, *layer.args[3:])
    layer.kwargs = {key: value for key, value in layer.kwargs.items() if key != "bias"}


def tensor_behind(graph_module: fx.GraphModule, arg: Any) -> Any:
    """The tensor behind a get_attr node; anything else unchanged."""
    if isinstance(arg, fx.Node) and arg.op == "get_attr":
        owner, _, name = str(arg.target).rpartition(".")
        return getattr(graph_module.get_submodule(owner), name)
    return arg


def _set_tensor(graph_module: fx.GraphModule, target: str, value: Tensor) -> None:
    owner, _, name = target.rpartition(".")
    module = graph_module.get_submodule(owner)
    if name in module._buffers:
        module._buffers[name] = value
    else:
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _new_tensor(graph_module: fx.GraphModule, target: str, value: Tensor) -> fx.Node:
    """Register `value` as a parameter near `target` (a free name) and read it at the graph's insertion point."""
    owner, _, name = target.rpartition(".")
    module = graph_module.get_submodule(owner)
    while getattr(module, name, None) is not None:
        name += "_folded"
    if name in module.__dict__:
        delattr(module, name)
    module.register_parameter(name, nn.Parameter(value, requires_grad=False))
    node = graph_module.graph.get_attr(f"{owner}.{name}" if owner else name)
    node.meta["val"] = value
    return node


def drop_unread_tensors(graph_module: fx.GraphModule) -> None:
    """Remove the parameters and buffers that no node of the graph reads."""
    read = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    for prefix, module in graph_module.named_modules():
        for table in (module._parameters, module._buffers):
            for name in [n for n in table if (f"{prefix}.{n}" if prefix else n) not in read]:
                del table[name]
