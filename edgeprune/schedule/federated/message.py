"""What server and clients send each other: named arrays and numbers, and how many bytes that is.

Masked entries are not sent: a tensor travels as the values that are alive. Masks travel as bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Message:
    """`kind`: statistics, loss or train. `arrays` by name; `numbers` are ints and floats."""

    kind: str
    arrays: dict[str, Array] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, and 8 a number; what a carrier adds (names, framing) is not counted."""
        return sum(array.nbytes for array in self.arrays.values()) + 8 * len(self.numbers)

    def part(self, prefix: str) -> dict[str, Array]:
        """The arrays called prefix/NAME, by NAME."""
        return {name.split("/", 1)[1]: array for name, array in self.arrays.items() if name.startswith(f"{prefix}/")}


def named(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays as prefix/NAME."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def pack(state: Mapping[str, Tensor], dead: Mapping[str, Tensor]) -> dict[str, Array]:
    """The alive values of every floating-point tensor, flat."""
    return {
        name: (tensor[~dead[name]] if name in dead else tensor).detach().cpu().float().flatten().numpy().copy()
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }


def unpack(arrays: Mapping[str, Array], dead: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`into` with its alive values replaced; dead ones, and tensors that were not sent, stay as they are there."""
    found = {name: tensor.detach().clone() for name, tensor in into.items()}
    for name, array in arrays.items():
        values = torch.from_numpy(np.array(array)).to(found[name].dtype)
        if name in dead:
            found[name][~dead[name]] = values
        else:
            found[name] = values.reshape(found[name].shape)
    return found


def pack_masks(alive: Mapping[str, Tensor]) -> dict[str, Array]:
    """One bit an entry, eight to a byte."""
    return {name: np.packbits(mask.flatten().numpy()) for name, mask in alive.items()}


def unpack_masks(bits: Mapping[str, Array], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks again, in the shapes of `like`."""
    return {
        name: torch.from_numpy(np.unpackbits(np.array(bits[name]), count=mask.numel()).astype(bool)).reshape(mask.shape)
        for name, mask in like.items()
    }
