"""The arguments of one operation of a MIL program, as the reference interpreter of `converters.mil` reads them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from converters.errors import NotInterpreted
from converters.mil_program import MilProgram

_ONLY_SOMETIMES = {"pad", "num_splits"}  # read where pad_type is custom, where there are no split_sizes


class Arguments:
    """The arguments of one operation by their names, floats widened to float32."""

    def __init__(self, op: Any, constants: dict[str, Any], values: dict[str, Any], program: MilProgram) -> None:
        self._op, self._constants, self._values, self._program = op, constants, values, program
        self._read: set[str] = set()

    def check_all_read(self) -> None:
        """Raise NotInterpreted if the operation has an argument that this interpreter takes no notice of."""
        ignored = set(self._op.inputs) - self._read - _ONLY_SOMETIMES
        if ignored:
            raise NotInterpreted(
                f"the reference interpreter knows no {', '.join(sorted(ignored))} of {self._op.type}",
                "Compare the outputs on a Mac.",
            )

    def __call__(self, slot: str, default: Any = None) -> Any:
        """One argument; the default where the operation leaves it out."""
        found = self.all(slot)
        return found[0] if found else default

    @property
    def type(self) -> str:
        """The operation's name."""
        return str(self._op.type)

    @property
    def x(self) -> Tensor:
        """The argument that nearly every operation calls x."""
        found: Tensor = self("x")
        return found

    def all(self, slot: str) -> list[Any]:
        """The arguments of a slot that takes several."""
        self._read.add(slot)
        return [self._one(a) for a in self._op.inputs[slot].arguments] if slot in self._op.inputs else []

    def ints(self, slot: str, default: Any = None) -> list[int]:
        """A list of integers."""
        found = self(slot)
        return list(default) if found is None else [int(n) for n in found.reshape(-1).tolist()]

    def number(self, slot: str, default: Any = None) -> Any:
        """A Python number or string."""
        found = self(slot, default)
        return found.item() if isinstance(found, Tensor) else found

    def only(self, slot: str, known: Any) -> None:
        """Raise NotInterpreted if an argument is given and is not the one value that this interpreter knows."""
        if (found := self.number(slot, known)) != known:
            raise NotInterpreted(
                f"the reference interpreter knows no {slot}={found} of {self.type}", "Compare the outputs on a Mac."
            )

    def _one(self, argument: Any) -> Any:
        if argument.WhichOneof("binding") != "name":
            return as_tensor(self._program.value(argument.value))
        name = argument.name
        found = self._values[name] if name in self._values else self._constants[name]
        return found.float() if isinstance(found, Tensor) and found.is_floating_point() else found


def as_tensor(value: Any) -> Any:
    """A constant of `MilProgram` as the operations take it; strings stay strings."""
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray | np.generic) else value
