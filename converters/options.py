"""What can be asked of a conversion, beside the network and the format. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from converters.artifact import Format
from converters.errors import ConversionError

if TYPE_CHECKING:
    from torch import Tensor

Inputs: TypeAlias = "tuple[Tensor, ...]"
Quantize = Literal["none", "fp16", "int8", "int8-weights", "palettize"]
Delegate = Literal["xnnpack", "coreml", "vulkan", "qnn"]
Via = Literal["litert-torch", "onnx2tf"]

# What `Artifact.precision` says of each.
PRECISIONS: dict[Quantize, str] = {
    "none": "float32",
    "fp16": "float16",
    "int8": "int8",
    "int8-weights": "int8-weights",
    "palettize": "palettized-6bit",
}

_OFFERED: dict[Format, tuple[Quantize, ...]] = {
    "litert": ("none", "fp16", "int8", "int8-weights"),
    "executorch": ("none", "fp16", "int8"),
    "coreml": ("none", "fp16", "int8", "int8-weights", "palettize"),
    "onnx": ("none", "fp16", "int8"),
}
_WHY_NOT: dict[tuple[Format, Quantize], str] = {
    ("executorch", "int8-weights"): "XNNPACK's convolutions take int8 weights only with int8 activations: use int8",
}


@dataclass(frozen=True)
class Options:
    """How to convert.

    `quantize`: "fp16" halves weights and, where the runtime can, arithmetic; "int8" is post-training quantisation of
    weights (symmetric, per output channel) and activations (per tensor) over `calibration`; "int8-weights" and
    "palettize" (6 bits, k-means) compress weights alone. `calibration`: representative inputs, each a tuple in the
    shapes of the example. `delegate` and `allow_portable` are ExecuTorch's: who runs the operations, and whether those
    it refuses may run in ExecuTorch's slow reference kernels. `nhwc`: images enter as (N, H, W, C), and `via`: by which
    road, both LiteRT only. `image`: mean and std, one a channel; a Core ML file then takes an image, pixels of
    0 to 255, and normalises it by itself. `max_batch` above 1: the file takes batches from 1 to this; `sides`: images
    whose height and width each lie between these two, pixels. Not for LiteRT.
    """

    quantize: Quantize = "none"
    calibration: Sequence[Inputs] = ()
    delegate: Delegate = "xnnpack"
    allow_portable: bool = True
    nhwc: bool = False
    via: Via = "litert-torch"
    image: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    max_batch: int = 1
    sides: tuple[int, int] | None = None

    @property
    def dynamic(self) -> bool:
        """Whether any shape is left open."""
        return self.max_batch > 1 or self.sides is not None

    def check(self, format: Format) -> None:
        """Raise ConversionError for what the format does not offer, before any work."""
        if self.quantize not in get_args(Quantize):
            raise ConversionError(
                f"unknown quantisation {self.quantize!r}", f"Use one of {', '.join(get_args(Quantize))}."
            )
        if self.quantize not in _OFFERED[format]:
            why = _WHY_NOT.get((format, self.quantize), f"use one of {', '.join(_OFFERED[format])}")
            raise ConversionError(f"{format} offers no {self.quantize}", f"{why[0].upper()}{why[1:]}.")
        if self.nhwc and format != "litert":
            raise ConversionError(f"{format} takes images as (N, C, H, W)", "Leave NHWC out, or convert to litert.")
        if self.image is not None and format != "coreml":
            raise ConversionError(f"{format} has no image inputs", "Leave --image-input out, or convert to coreml.")
        self._check_shapes(format)
        if self.via not in get_args(Via):
            raise ConversionError(f"unknown road {self.via!r}", f"Use one of {', '.join(get_args(Via))}.")
        if self.via != "litert-torch" and format != "litert":
            raise ConversionError(f"{format} is not made by {self.via}", "Leave --via out.")
        if self.delegate not in get_args(Delegate):
            raise ConversionError(f"unknown backend {self.delegate!r}", f"Use one of {', '.join(get_args(Delegate))}.")
        if self.delegate != "xnnpack" and format != "executorch":
            raise ConversionError(f"{format} has no {self.delegate} backend", "Leave --backend out.")

    def _check_shapes(self, format: Format) -> None:
        if self.max_batch < 1 or (self.sides is not None and not 2 <= self.sides[0] < self.sides[1]):
            raise ConversionError(
                f"no such range: batches of 1 to {self.max_batch}, sides of {self.sides}",
                "Give a largest batch of 1 or more, and a smaller and a larger side.",
            )
        if self.dynamic and format == "litert":
            raise ConversionError(
                "litert files have fixed shapes: litert-torch has no reshape to an open batch",
                "Make one file a size, or convert to onnx, executorch or coreml.",
            )
        if self.max_batch > 1 and self.image is not None:
            raise ConversionError("an image input takes one image", "Leave --max-batch or --image-input out.")
