"""The oracle of a surgery: the dense graph, in which removed channels take no part.

Where a sum runs over channels (conv, linear, matmul, sum) removed channels enter as zero; norms, means, variances,
softmax and maxima over a pruned axis run over the kept channels only.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind, OutputKind

from edgeprune.graph.record import Program
from edgeprune.graph.space import core
from edgeprune.graph.trace import bound, op_name

Restricted = Callable[[Tensor, Tensor, dict[str, Any]], Any]  # input, kept mask, arguments -> output(s)


def run_dense(
    program: Program,
    state: dict[str, Tensor],
    inputs: tuple[Tensor, ...],
    labels: dict[str, Any],
    mask: Tensor,
) -> list[Tensor]:
    """Outputs of the dense graph under `state` (float64), restricted to the labels that `mask` keeps."""
    values = _bind(program, state, inputs)
    last_use = {used: node for node in program.graph.nodes for used in node.all_input_nodes}
    dying: dict[fx.Node, list[fx.Node]] = {}
    for used, node in last_use.items():
        dying.setdefault(node, []).append(used)
    with torch.no_grad():
        for node in program.graph.nodes:
            if node.op == "call_function":
                values[node] = _call(node, values, labels, mask)
            elif node.op == "output":
                specs = program.graph_signature.output_specs
                leaves = [n for n, s in zip(node.args[0], specs, strict=True) if s.kind == OutputKind.USER_OUTPUT]
                return [values[n] for n in leaves if isinstance(n, fx.Node) and isinstance(values[n], Tensor)]
            for used in dying.get(node, ()):
                values.pop(used, None)
    return []


def _bind(program: Program, state: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> dict[fx.Node, Any]:
    given = iter(inputs)
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    values: dict[fx.Node, Any] = {}
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT:
            values[node] = next(given, None)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target in state:
            values[node] = state[spec.target]
        else:
            constant = program.constants[str(spec.target)]
            floating = isinstance(constant, Tensor) and constant.is_floating_point()
            values[node] = constant.double() if floating else constant
    return values


def _call(node: fx.Node, values: dict[fx.Node, Any], labels: dict[str, Any], mask: Tensor) -> Any:
    name = op_name(node)
    if name.startswith("_assert"):
        return None

    rule = RESTRICTED.get(name)
    summed = {n for n in node.all_input_nodes if rule is _zeroed and isinstance(values[n], Tensor)}

    def real(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return _summand(values[value], labels[value.name], mask) if value in summed else values[value]
        if isinstance(value, (list, tuple)):
            return type(value)(real(v) for v in value)
        return torch.float64 if value is torch.float32 else value

    first = next(iter(node.all_input_nodes), None)
    if rule is not None and rule is not _zeroed and first is not None and isinstance(labels.get(first.name), Tensor):
        kept = mask[core(labels[first.name])[0]]
        if not kept.all():
            arguments = {key: real(value) for key, value in bound(node).items()}
            return rule(values[first], kept.expand_as(values[first]), arguments)
    keywords = {key: real(value) for key, value in node.kwargs.items()}
    return node.target(*real(tuple(node.args)), **keywords)  # type: ignore[operator]


def _summand(x: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    kept = mask[core(labels)[0]]
    return x if kept.all() else torch.where(kept, x, 0.0)


def _zeroed(x: Tensor, kept: Tensor, _: dict[str, Any]) -> Tensor:
    return torch.where(kept, x, 0.0)


def _dims(x: Tensor, arguments: dict[str, Any]) -> list[int]:
    dim = arguments.get("dim")
    return list(range(x.dim())) if dim is None or dim == [] else [dim] if isinstance(dim, int) else list(dim)


def _mean(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    dims, keepdim = _dims(x, arguments), bool(arguments.get("keepdim", False))
    count = kept.sum(dims, keepdim=keepdim).clamp(min=1)
    return _zeroed(x, kept, arguments).sum(dims, keepdim=keepdim) / count


def _variance(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    dims, keepdim = _dims(x, arguments), bool(arguments.get("keepdim", False))
    correction = arguments.get("correction", 1 if arguments.get("unbiased", True) else 0)
    count = kept.sum(dims, keepdim=True).clamp(min=1)
    mean = torch.where(kept, x, 0.0).sum(dims, keepdim=True) / count
    squares = torch.where(kept, (x - mean) ** 2, 0.0).sum(dims, keepdim=keepdim)
    return squares / (kept.sum(dims, keepdim=keepdim) - (1 if correction is None else correction)).clamp(min=0)


def _deviation(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    return _variance(x, kept, arguments).sqrt()


def _filled(value: float, op: Callable[..., Tensor]) -> Restricted:
    def restricted(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
        dims, keepdim = _dims(x, arguments), bool(arguments.get("keepdim", False))
        return op(torch.where(kept, x, value), dims, keepdim)

    return restricted


def _extreme(value: float, op: Callable[..., Any]) -> Restricted:
    """max or min, of an axis or of all (positions are those of the dense network), or of two tensors."""

    def restricted(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Any:
        if "other" in arguments:
            return op(x, arguments["other"])
        named = {key: arguments[key] for key in ("dim", "keepdim") if key in arguments}
        return op(torch.where(kept, x, value), **named)

    return restricted


def _product(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    named = {key: arguments[key] for key in ("dim", "keepdim") if key in arguments}
    return torch.prod(torch.where(kept, x, 1.0), **named)


def _softmax(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    result = torch.where(kept, x, -torch.inf).softmax(arguments["dim"])
    return torch.where(kept, result, 0.0)


def _log_softmax(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    return torch.where(kept, torch.where(kept, x, -torch.inf).log_softmax(arguments["dim"]), 0.0)


def _normalised(x: Tensor, kept: Tensor, dims: list[int], eps: float) -> Tensor:
    count = kept.sum(dims, keepdim=True).clamp(min=1)
    mean = torch.where(kept, x, 0.0).sum(dims, keepdim=True) / count
    variance = torch.where(kept, (x - mean) ** 2, 0.0).sum(dims, keepdim=True) / count
    return (x - mean) / torch.sqrt(variance + eps)


def _layer_norm(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    dims = [-d - 1 for d in range(len(arguments["normalized_shape"]))]
    result = _normalised(x, kept, dims, arguments["eps"])
    weight, bias = arguments.get("weight"), arguments.get("bias")
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _rms_norm(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    dims = [-d - 1 for d in range(len(arguments["normalized_shape"]))]
    square = torch.where(kept, x**2, 0.0).sum(dims, keepdim=True) / kept.sum(dims, keepdim=True).clamp(min=1)
    eps = arguments.get("eps")
    result = x / torch.sqrt(square + (torch.finfo(x.dtype).eps if eps is None else eps))
    return result if arguments.get("weight") is None else result * arguments["weight"]


def _group_norm(x: Tensor, kept: Tensor, arguments: dict[str, Any]) -> Tensor:
    groups = (x.shape[0], arguments["num_groups"], -1)
    result = _normalised(x.reshape(groups), kept.reshape(groups), [2], arguments["eps"]).reshape(x.shape)
    shape = (1, -1) + (1,) * (x.dim() - 2)
    weight, bias = arguments.get("weight"), arguments.get("bias")
    result = result if weight is None else result * weight.reshape(shape)
    return result if bias is None else result + bias.reshape(shape)


RESTRICTED: dict[str, Restricted] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear", "sum", "linalg_vector_norm"), _zeroed),
    **dict.fromkeys(("matmul", "bmm", "mm", "einsum", "scaled_dot_product_attention"), _zeroed),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _zeroed),
    "mean": _mean,
    "var": _variance,
    "std": _deviation,
    "amax": _filled(-torch.inf, torch.amax),
    "amin": _filled(torch.inf, torch.amin),
    "max": _extreme(-torch.inf, torch.max),
    "min": _extreme(torch.inf, torch.min),
    "prod": _product,
    "logsumexp": _filled(-torch.inf, torch.logsumexp),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
