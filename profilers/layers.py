"""The identity of a layer's cost: what two layers must share to take the same time on the same target."""

from dataclasses import asdict, dataclass
from typing import Any, Self

OPS = ("conv2d", "depthwise", "grouped", "conv_transpose2d", "linear", "add", "mean")


@dataclass(frozen=True)
class LayerKey:
    """One layer, batch 1, float32, with bias and a fused ReLU (add and mean: without).

    `in_hw`, `out_hw` are (height, width); `padding` is torch's, the same before and after. A linear layer has kernel
    (1, 1) and runs on in_hw[0] * in_hw[1] rows. "add" adds two maps of c_in channels; "mean" pools a map globally.
    """

    op: str
    c_in: int
    c_out: int
    in_hw: tuple[int, int] = (1, 1)
    out_hw: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise ValueError(f"unknown op {self.op!r}: one of {', '.join(OPS)}")
        if min(self.c_in, self.c_out, self.groups, *self.in_hw, *self.out_hw, *self.kernel) < 1:
            raise ValueError(f"sizes must be positive: {self}")
        if self.c_in % self.groups or self.c_out % self.groups:
            raise ValueError(f"{self.groups} groups divide neither {self.c_in} nor {self.c_out} channels evenly")

    def weights(self) -> int:
        """Number of weight elements, without bias."""
        if self.op in ("add", "mean"):
            return 0
        return self.c_out * (self.c_in // self.groups) * self.kernel[0] * self.kernel[1]

    def macs(self) -> int:
        """Multiply-accumulates."""
        h, w = self.in_hw if self.op in ("conv_transpose2d", "linear") else self.out_hw
        return self.weights() * h * w

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_json`, also after a trip through JSON text. Raises ValueError on unknown or missing fields."""
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"not a layer key: {error}") from error


@dataclass(frozen=True)
class LayerCost:
    """A layer's time, ms, without what an invocation costs in itself; from `n` runs; `when` is UTC, ISO 8601."""

    ms: float
    n: int
    when: str
