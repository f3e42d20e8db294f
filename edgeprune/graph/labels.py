"""The label interpreter: walks an exported graph once and finds which channels belong together.

The table is the coverage: an op that is not in it freezes the channels that enter it, and is named.
"""

from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.graph import call as calls
from edgeprune.graph import contractions, moves, rules
from edgeprune.graph.call import Call, Labels, Rule
from edgeprune.graph.record import Program
from edgeprune.graph.space import FIXED, LabelSpace, uniform
from edgeprune.graph.trace import op_name

_MADE = ("zeros", "ones", "full", "empty")

RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), rules.convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), rules.transposed_convolution),
    "linear": rules.linear,
    **dict.fromkeys(("batch_norm", "instance_norm", "prelu"), rules.channel_norm),
    "group_norm": rules.group_norm,
    **dict.fromkeys(("layer_norm", "rms_norm"), rules.layer_norm),
    **dict.fromkeys(
        [f"{op}{d}d" for d in (1, 2, 3) for op in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")]
        + [f"max_pool{d}d_with_indices" for d in (1, 2, 3)]
        + [f"{op}{d}d" for d in (1, 2, 3) for op in ("upsample_nearest", "_upsample_nearest_exact")]
        + ["upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"]
        + ["_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"],
        rules.pool,
    ),
    **dict.fromkeys(("matmul", "bmm", "mm", "einsum"), contractions.product),
    "scaled_dot_product_attention": contractions.attention,
    "embedding": moves.embedding,
    "index": moves.index,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), moves.shuffle),
    "glu": moves.glu,
    **dict.fromkeys(("cumsum", "cumprod"), rules.scan),
    **dict.fromkeys(
        [
            "view",
            "reshape",
            "_unsafe_view",
            "flatten",
            "unflatten",
            "permute",
            "transpose",
            "t",
            "movedim",
            "moveaxis",
            "swapaxes",
            "swapdims",
            "numpy_T",
            "expand_as",
            "view_as",
            "rot90",
            "expand",
            "contiguous",
            "clone",
            "alias",
            "detach",
            "lift_fresh_copy",
            "cat",
            "concat",
            "concatenate",
            "stack",
            "repeat",
            "tile",
            "unbind",
            "split",
            "split_with_sizes",
            "unsafe_split",
            "chunk",
            "unsafe_chunk",
            "tensor_split",
            "slice",
            "narrow",
            "select",
            "unsqueeze",
            "squeeze",
            "roll",
            "flip",
            "pixel_shuffle",
            "pixel_unshuffle",
        ],
        moves.move,
    ),
    "getitem": moves.getitem,
    **dict.fromkeys(("pad", "constant_pad_nd"), moves.pad),
    **dict.fromkeys(
        [
            "add",
            "sub",
            "rsub",
            "mul",
            "div",
            "pow",
            "maximum",
            "minimum",
            "where",
            "masked_fill",
            "copy",
            "neg",
            "abs",
            "exp",
            "log",
            "sqrt",
            "rsqrt",
            "square",
            "reciprocal",
            "sin",
            "cos",
            "erf",
            "clamp",
            "clamp_min",
            "clamp_max",
            "lerp",
            "addcmul",
            "relu",
            "relu6",
            "hardtanh",
            "leaky_relu",
            "elu",
            "selu",
            "gelu",
            "silu",
            "mish",
            "softplus",
            "sigmoid",
            "tanh",
            "tanhshrink",
            "celu",
            "threshold",
            "hardshrink",
            "softshrink",
            "sign",
            "ceil",
            "trunc",
            "remainder",
            "floor_divide",
            "atan2",
            "log1p",
            "expm1",
            "nan_to_num",
            "hardswish",
            "hardsigmoid",
            "log_sigmoid",
            "softsign",
            "dropout",
            "feature_dropout",
            "alpha_dropout",
            "to",
            "_to_copy",
            "float",
            "eq",
            "ne",
            "gt",
            "ge",
            "lt",
            "le",
            "logical_and",
            "logical_or",
            "logical_not",
            "round",
            "floor",
            "softmax",
            "log_softmax",
        ],
        rules.pointwise,
    ),
    **dict.fromkeys(
        ["mean", "sum", "prod", "amax", "amin", "max", "min", "var", "std", "logsumexp", "linalg_vector_norm"],
        rules.reduce,
    ),
    **dict.fromkeys(
        (*_MADE, *(f"new_{made}" for made in _MADE), "arange", "scalar_tensor", "linspace", "eye"), calls.fixed
    ),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like", "bernoulli", "rand_like", "fill", "zero"), calls.like),
    **dict.fromkeys(("_assert_tensor_metadata", "_assert_scalar", "sym_size", "sym_constrain_range"), rules.silent),
}


def walk(program: Program, space: LabelSpace, tied: dict[str, str]) -> dict[str, Labels]:
    """Run every node's rule; node name -> label tensor (tuple of tensors, None) of its output.

    Parameter axes are keyed by name, so graphs of one model (deployment, training) may share a `space`.
    """
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names = {placeholder: tied.get(name, name) for placeholder, name in names.items()}
    written = set(signature.buffers_to_mutate)
    env: dict[fx.Node, Labels] = {}
    owners: dict[fx.Node, str] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder":
            if node.name in names:
                owners[node] = names[node.name]
            env[node] = uniform(FIXED, tuple(value.shape)) if isinstance(value, Tensor) else None
        elif node.op == "call_function":
            call = Call(space, node, env, owners)
            env[node] = RULES.get(op_name(node), calls.unknown)(call)
        elif node.op == "output":
            for leaf in node.all_input_nodes:
                if leaf not in owners and leaf.name not in written:
                    _freeze_output(space, env[leaf])
        else:
            env[node] = calls.fixed(Call(space, node, env, owners))
    return {node.name: labels for node, labels in env.items()}


def _freeze_output(space: LabelSpace, labels: Any) -> None:
    if isinstance(labels, torch.Tensor):
        space.freeze(labels, "is an output of the network")
    elif isinstance(labels, tuple):
        for part in labels:
            _freeze_output(space, part)
