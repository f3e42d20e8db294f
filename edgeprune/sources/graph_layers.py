"""An exported graph as a module of torch.nn layers, under the names that its parameters had.

An exported program calls operators on bare parameters: batch norm and dropout are stuck in the mode in which they were
exported. With layers in their places it is scored, trained and re-estimated like any network.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeprune.graph.trace import bound, op_name

Arguments = dict[str, Any]  # of a call, by the names of the operator's schema; parameters as tensors
_TENSORS = ("weight", "bias", "running_mean", "running_var")


def as_layers(module: fx.GraphModule) -> fx.GraphModule:
    """`module`, changed in place: convolutions, linear layers, norms, PReLU, embeddings and dropout are layers.

    An operator stays as it is where its parameters are not called as in a layer (`weight`, `bias`, ...), or a layer of
    the same name was called with other settings before.
    """
    for node in list(module.graph.nodes):
        name = op_name(node) if node.op == "call_function" else ""
        if (
            name == "add"
            and not node.users
            and str(getattr(node.args[0], "target", "")).endswith("num_batches_tracked")
        ):
            module.graph.erase_node(node)  # a batch norm counts its batches itself
        elif name in DROPOUTS:
            path = _free_name(module, node.name)
            module.add_submodule(path, DROPOUTS[name](bound(node)["p"]))
            _call(module, node, path, node.args[0])
        elif name in LAYERS:
            _replace(module, node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()  # heads that only training reached
    module.graph.lint()
    module.recompile()
    return module


def _replace(module: fx.GraphModule, node: fx.Node) -> None:
    arguments = bound(node)
    source = next(arguments[key] for key in ("input", "self", "indices") if key in arguments)
    given = {key: arguments[key] for key in _TENSORS if arguments.get(key) is not None}
    path, tensors = _owner(module, given)
    if path is None:
        return
    known = module.get_submodule(path)
    layer = LAYERS[op_name(node)]({**arguments, **dict.fromkeys(_TENSORS), **tensors}, source.meta["val"].dim())
    if isinstance(known, type(layer)):  # called before
        if repr(known) == repr(layer):
            _call(module, node, path, source)
        return
    owned = {**known._parameters, **known._buffers}
    if known._modules or not set(owned) <= {*layer._parameters, *layer._buffers}:
        return
    for key, tensor in owned.items():
        setattr(layer, key, tensor)
    if "num_batches_tracked" in layer._buffers and "num_batches_tracked" not in owned:
        layer.num_batches_tracked = torch.tensor(0)
    module.set_submodule(path, layer)
    _call(module, node, path, source)


def _owner(module: fx.GraphModule, given: dict[str, fx.Node]) -> tuple[str | None, dict[str, Tensor]]:
    """The path of the module that owns all of these parameters, under these names, or None; and the parameters."""
    paths, tensors = set(), {}
    for key, node in given.items():
        path, _, name = str(node.target).rpartition(".")
        if node.op != "get_attr" or name != key or not path:
            return None, {}
        paths.add(path)
        tensors[key] = getattr(module.get_submodule(path), name)
    return (paths.pop() if len(paths) == 1 else None), tensors


def _call(module: fx.GraphModule, node: fx.Node, path: str, source: Any) -> None:
    with module.graph.inserting_before(node):
        call = module.graph.call_module(path, (source,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    module.graph.erase_node(node)


def _free_name(module: nn.Module, name: str) -> str:
    while hasattr(module, name):
        name = f"{name}_"
    return name


def _convolution(kind: Callable[..., nn.Module]) -> Callable[[Arguments, int], nn.Module]:
    def build(a: Arguments, dim: int) -> nn.Module:
        del dim
        first, second = a["weight"].shape[0], a["weight"].shape[1] * a["groups"]
        transposed = "output_padding" in a
        settings = {"groups": a["groups"], "bias": a["bias"] is not None, "dilation": _each(a, "dilation")}
        if transposed:
            settings["output_padding"] = _each(a, "output_padding")
        into, out = (first, second) if transposed else (second, first)
        padding = a["padding"] if isinstance(a["padding"], str) else _each(a, "padding")
        kernel = tuple(a["weight"].shape[2:])
        return kind(into, out, kernel, _each(a, "stride"), padding, device="meta", **settings)

    return build


def _each(a: Arguments, name: str) -> tuple[int, ...]:
    """A setting that may be given once for all axes."""
    values = [a[name]] if isinstance(a[name], int) else list(a[name])
    return tuple(values * (a["weight"].dim() - 2) if len(values) == 1 else values)


def _linear(a: Arguments, dim: int) -> nn.Module:
    del dim
    return nn.Linear(a["weight"].shape[1], a["weight"].shape[0], a["bias"] is not None, device="meta")


def _batch_norm(a: Arguments, dim: int) -> nn.Module:
    kind = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(dim, nn.BatchNorm1d)
    tracked = a["running_mean"] is not None
    features = len(a["running_mean"] if tracked else a["weight"])
    return kind(features, a["eps"], a["momentum"], a["weight"] is not None, tracked, device="meta")


def _layer_norm(a: Arguments, dim: int) -> nn.Module:
    del dim
    return nn.LayerNorm(tuple(a["normalized_shape"]), a["eps"], True, a["bias"] is not None, device="meta")


def _group_norm(a: Arguments, dim: int) -> nn.Module:
    del dim
    return nn.GroupNorm(a["num_groups"], len(a["weight"]), a["eps"], device="meta")


def _prelu(a: Arguments, dim: int) -> nn.Module:
    del dim
    return nn.PReLU(len(a["weight"]), device="meta")


def _embedding(a: Arguments, dim: int) -> nn.Module:
    del dim
    rows, width = a["weight"].shape
    return nn.Embedding(rows, width, a["padding_idx"] if a["padding_idx"] >= 0 else None, device="meta")


LAYERS: dict[str, Callable[[Arguments, int], nn.Module]] = {  # (arguments, rank of the input) -> layer without values
    "conv1d": _convolution(nn.Conv1d),
    "conv2d": _convolution(nn.Conv2d),
    "conv3d": _convolution(nn.Conv3d),
    "conv_transpose1d": _convolution(nn.ConvTranspose1d),
    "conv_transpose2d": _convolution(nn.ConvTranspose2d),
    "conv_transpose3d": _convolution(nn.ConvTranspose3d),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "prelu": _prelu,
    "embedding": _embedding,
}
DROPOUTS: dict[str, Callable[[float], nn.Module]] = {
    "dropout": nn.Dropout,
    "feature_dropout": nn.Dropout2d,
    "alpha_dropout": nn.AlphaDropout,
}
