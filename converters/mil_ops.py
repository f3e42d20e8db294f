"""The operations of MIL programs in torch, one function each; the table of all stands at the end.

Source: coremltools' MIL operation reference (ops/defs/iOS15, iOS16 and iOS17).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from converters.errors import NotInterpreted
from converters.mil_arguments import Arguments

_NAMED = {
    "fp16": torch.float16, "fp32": torch.float32, "bool": torch.bool,
    "int8": torch.int8, "int16": torch.int16, "uint16": torch.uint16, "int32": torch.int32,
}  # fmt: skip


def _padding(a: Arguments, x: Tensor, kernel: Sequence[int]) -> list[int]:
    """Rows and columns added before and after each spatial axis, (top, bottom, left, right) for images."""
    kind, rank = a.number("pad_type", "valid"), len(kernel)
    if kind not in ("custom", "valid") and a.type == "conv_transpose":
        raise NotInterpreted(f"the reference interpreter knows no {kind} of conv_transpose", "Compare on a Mac.")
    if kind == "custom":
        return a.ints("pad", [0] * 2 * rank)
    if kind == "valid":
        return [0] * 2 * rank
    strides, dilations = a.ints("strides", [1] * rank), a.ints("dilations", [1] * rank)
    padding = []
    for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        before = -(-total // 2) if kind == "same_lower" else total // 2
        padding += [before, total - before]
    return padding


def _pad(x: Tensor, padding: Sequence[int], value: float = 0.0) -> Tensor:
    """(top, bottom, left, right) around the last axes."""
    pairs = [padding[i : i + 2] for i in range(0, len(padding), 2)]
    return F.pad(x, [n for pair in reversed(pairs) for n in pair], value=value)


def _conv(a: Arguments) -> Tensor:
    x, weight = a.x, a("weight")
    rank = weight.ndim - 2
    x = _pad(x, _padding(a, x, weight.shape[2:]))
    conv = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    strides, dilations = a.ints("strides", [1] * rank), a.ints("dilations", [1] * rank)
    return conv(x, weight, a("bias"), strides, 0, dilations, int(a.number("groups", 1)))


def _conv_transpose(a: Arguments) -> Tensor:
    x, weight = a.x, a("weight")
    rank, groups = weight.ndim - 2, int(a.number("groups", 1))
    strides, dilations = a.ints("strides", [1] * rank), a.ints("dilations", [1] * rank)
    conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    y = conv(x, weight, a("bias"), strides, 0, 0, groups, dilations)
    padding = _padding(a, x, weight.shape[2:])
    wanted = a.ints("output_shape", [])[2:]
    for axis in range(rank):
        before, after = padding[2 * axis : 2 * axis + 2]
        size = wanted[axis] if wanted else y.shape[2 + axis] - before - after
        missing = before + size - y.shape[2 + axis]
        if missing > 0:
            y = F.pad(y, [0, 0] * (rank - 1 - axis) + [0, missing])
        y = y.narrow(2 + axis, before, size)
    return y


def _max_pool(a: Arguments) -> Tensor:
    x, kernel = a.x, a.ints("kernel_sizes")
    strides, ceil = a.ints("strides", [1] * len(kernel)), bool(a.number("ceil_mode", False))
    x = _pad(x, _padding(a, x, kernel), float("-inf"))
    return F.max_pool2d(x, kernel, strides, ceil_mode=ceil)


def _avg_pool(a: Arguments) -> Tensor:
    x, kernel = a.x, a.ints("kernel_sizes")
    strides, ceil = a.ints("strides", [1] * len(kernel)), bool(a.number("ceil_mode", False))
    padding = _padding(a, x, kernel)
    sums = F.avg_pool2d(_pad(x, padding), kernel, strides, ceil_mode=ceil, divisor_override=1)
    counted = torch.ones_like(x[:1, :1])
    outside = 0.0 if bool(a.number("exclude_padding_from_average", False)) else 1.0
    counts = F.avg_pool2d(_pad(counted, padding, outside), kernel, strides, ceil_mode=ceil, divisor_override=1)
    return sums / counts


def _reduce(function: Callable[..., Tensor]) -> Callable[[Arguments], Tensor]:
    def reduce(a: Arguments) -> Tensor:
        x = a.x
        return function(x, a.ints("axes", range(x.ndim)), bool(a.number("keep_dims", False)))

    return reduce


def _reshape(a: Arguments) -> Tensor:
    x = a.x
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(a.ints("shape"))])


def _concat(a: Arguments) -> Tensor:
    values, axis = a.all("values"), int(a.number("axis")) % a.all("values")[0].ndim
    if bool(a.number("interleave", False)):  # a channel shuffle: one channel of each in turn
        return torch.stack(values, axis + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


def _split(a: Arguments) -> tuple[Tensor, ...]:
    x, axis, sizes = a.x, int(a.number("axis")), a.ints("split_sizes", [])
    return torch.split(x, sizes or x.shape[axis] // int(a.number("num_splits")), dim=axis)


def _slice(a: Arguments) -> Tensor:
    x, begin, end = a.x, a.ints("begin"), a.ints("end")
    rank = x.ndim
    stride = a.ints("stride", [1] * rank)
    masks = [a(slot) for slot in ("begin_mask", "end_mask", "squeeze_mask")]
    from_start, to_end, squeeze = ([False] * rank if m is None else m.tolist() for m in masks)
    for axis in range(rank):
        if squeeze[axis]:
            x = x.narrow(axis, begin[axis] % x.shape[axis], 1)
            continue
        first, last = (None if from_start[axis] else begin[axis]), (None if to_end[axis] else end[axis])
        picked = range(x.shape[axis])[slice(first, last, stride[axis])]
        x = x.index_select(axis, torch.tensor(list(picked), dtype=torch.long))
    return x.reshape([n for n, gone in zip(x.shape, squeeze, strict=True) if not gone])


def _pad_op(a: Arguments) -> Tensor:
    mode, x, amounts = a.number("mode", "constant"), a.x, a.ints("pad")
    pairs = [amounts[i : i + 2] for i in range(0, len(amounts), 2)]
    pairs = [p for i, p in enumerate(pairs) if any(any(q) for q in pairs[: i + 1])]  # leading axes that stay
    flat = [n for pair in reversed(pairs) for n in pair]
    value = float(a.number("constant_val", 0.0))
    return F.pad(
        x, flat, mode="replicate" if mode == "replicate" else mode, value=value if mode == "constant" else None
    )


def _batch_norm(a: Arguments) -> Tensor:
    return F.batch_norm(
        a.x, a("mean"), a("variance"), a("gamma"), a("beta"), eps=float(a.number("epsilon", 1e-5))
    )  # fmt: skip


def _layer_norm(a: Arguments) -> Tensor:
    x = a.x
    axes = [axis % x.ndim for axis in a.ints("axes", range(x.ndim))]
    mean, var = x.mean(axes, keepdim=True), x.var(axes, keepdim=True, unbiased=False)
    y = (x - mean) / torch.sqrt(var + float(a.number("epsilon", 1e-5)))
    shape = [n if i in axes else 1 for i, n in enumerate(x.shape)]
    gamma, beta = a("gamma"), a("beta")
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def _gelu(a: Arguments) -> Tensor:
    mode, x = a.number("mode", "EXACT"), a.x
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def _matmul(a: Arguments) -> Tensor:
    x: Tensor = a.x
    y: Tensor = a("y")
    x = x.mT if bool(a.number("transpose_x", False)) else x
    y = y.mT if bool(a.number("transpose_y", False)) else y
    return x @ y


def _upsample(mode: str) -> Callable[[Arguments], Tensor]:
    def upsample(a: Arguments) -> Tensor:
        factors = (float(a.number("scale_factor_height", 1)), float(a.number("scale_factor_width", 1)))
        corners = bool(a.number("align_corners", False)) if mode == "bilinear" else None
        return F.interpolate(a.x, scale_factor=factors, mode=mode, align_corners=corners)

    return upsample


def _crop(a: Arguments) -> Tensor:
    (top, bottom), (left, right) = a.ints("crop_height"), a.ints("crop_width")
    height, width = a.x.shape[2:]
    return a.x[:, :, top : height - bottom, left : width - right]


def _squeeze(a: Arguments) -> Tensor:
    x = a.x
    axes = [axis % x.ndim for axis in a.ints("axes", [i for i, n in enumerate(x.shape) if n == 1])]
    return x.reshape([n for i, n in enumerate(x.shape) if i not in axes])


def _expand_dims(a: Arguments) -> Tensor:
    x, axes = a.x, a.ints("axes")
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _gather(a: Arguments) -> Tensor:
    """x[..., indices, ...] along an axis; an argument `batch_dims` other than 0 is refused."""
    x, indices, axis = a.x, a("indices").long(), int(a.number("axis", 0)) % a.x.ndim
    a.only("batch_dims", 0)
    a.only("validate_indices", False)  # it asks the runtime for a check, and changes no number
    found = x.index_select(axis, indices.reshape(-1) % x.shape[axis])  # negative ones count from the end
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _scatter(a: Arguments) -> Tensor:
    data, axis = a("data"), int(a.number("axis", 0)) % a("data").ndim
    a.only("mode", "update")
    a.only("validate_indices", False)
    found: Tensor = data.index_copy(axis, a("indices").long() % data.shape[axis], a("updates").to(data.dtype))
    return found


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda a: function(a.x)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda a: function(a.x, a("y"))


_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def _quantize(a: Arguments) -> Tensor:
    """Per tensor: an argument `axis` is refused by `check_all_read`."""
    steps: Tensor = (a("input") / a("scale")).round() + (0 if a("zero_point") is None else a("zero_point").float())
    return steps.clamp(*_LIMITS[a.number("output_dtype")])


def _dequantize(a: Arguments) -> Tensor:
    zero_point = 0 if a("zero_point") is None else a("zero_point").float()
    found: Tensor = (a("input").float() - zero_point) * a("scale")
    return found


OPS: dict[str, Callable[[Arguments], Any]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": lambda a: F.linear(a.x, a("weight"), a("bias")),
    "matmul": _matmul,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "reduce_mean": _reduce(torch.mean),
    "reduce_sum": _reduce(torch.sum),
    "reduce_max": _reduce(torch.amax),
    "reduce_l2_norm": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "relu": _unary(torch.relu),
    "relu6": _unary(F.relu6),
    "thresholded_relu": lambda a: a.x * (a.x >= a.number("alpha", 1.0)),
    "leaky_relu": lambda a: F.leaky_relu(a.x, float(a.number("alpha", 0.01))),
    "prelu": lambda a: F.prelu(a.x, a("alpha")),
    "sigmoid": _unary(torch.sigmoid),
    "sigmoid_hard": lambda a: (a.x * a.number("alpha", 0.2) + a.number("beta", 0.5)).clamp(0, 1),
    "silu": _unary(F.silu),
    "gelu": _gelu,
    "tanh": _unary(torch.tanh),
    "clip": lambda a: a.x.clamp(a.number("alpha"), a.number("beta")),
    "softmax": lambda a: a.x.softmax(int(a.number("axis", -1))),
    "sqrt": _unary(torch.sqrt),
    "rsqrt": lambda a: torch.rsqrt(a.x + a.number("epsilon", 1e-12)),
    "square": _unary(torch.square),
    "exp": _unary(torch.exp),
    "erf": _unary(torch.erf),
    "abs": _unary(torch.abs),
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.div),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "select": lambda a: torch.where(a("cond"), a("a"), a("b")),
    "gather": _gather,
    "scatter": _scatter,
    "tile": lambda a: a.x.repeat(a.ints("reps")),
    "reshape": _reshape,
    "transpose": lambda a: a.x.permute(a.ints("perm")),
    "concat": _concat,
    "split": _split,
    "slice_by_index": _slice,
    "crop": _crop,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "pad": _pad_op,
    "upsample_bilinear": _upsample("bilinear"),
    "upsample_nearest_neighbor": _upsample("nearest"),
    "cast": lambda a: a.x.to(_NAMED[a.number("dtype")]),
    "identity": lambda a: a.x,
    "quantize": _quantize,
    "dequantize": _dequantize,
}
