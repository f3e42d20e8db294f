"""A reference interpreter of Core ML's MIL programs, in torch: what the saved .mlpackage says, computed by the book.

Core ML runs on Apple's machines only; here every operation is computed in float32 as coremltools documents it and
rounded to the type that the program declares for its output. That shows whether the conversion kept the network, not
what a phone's compiler or its Neural Engine make of the program: nothing more is claimed.
Source: coremltools' MIL operation reference (ops/defs/iOS15 and iOS16).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from converters.contents import Array
from converters.errors import NotInterpreted
from converters.mil_arguments import Arguments, as_tensor
from converters.mil_ops import OPS
from converters.mil_program import MilProgram

TYPES = {
    1: torch.bool,
    10: torch.float16,
    11: torch.float32,
    12: torch.float64,
    21: torch.int8,
    22: torch.int16,
    23: torch.int32,
    31: torch.uint8,
    32: torch.uint16,
}


class MilSession:
    """A .mlpackage, run operation by operation. `runtime` says that this is no Core ML."""

    runtime = "reference interpreter"

    def __init__(self, path: Path) -> None:
        self._program = MilProgram(path)
        unknown = sorted({op.type for op in self._program.operations} - set(OPS))
        if unknown:
            raise NotInterpreted(
                f"the reference interpreter knows no {', '.join(unknown)}", "Compare the outputs on a Mac."
            )
        self._constants = {name: as_tensor(self._program.named(name)) for name in self._program.stored}

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs, in the order of the program, in the types it declares."""
        values = self.values(inputs)
        return [values[name].numpy() for name in self._program.outputs]

    def values(self, inputs: Sequence[Array]) -> dict[str, Any]:
        """Every value of the program by its name, inputs and outputs included, in the types it declares."""
        pairs = zip(self._program.inputs.items(), inputs, strict=True)
        values: dict[str, Any] = {name: torch.from_numpy(x).to(TYPES[kind]) for (name, kind), x in pairs}
        with torch.no_grad():
            for op in self._program.operations:
                arguments = Arguments(op, self._constants, values, self._program)
                found = OPS[op.type](arguments)
                arguments.check_all_read()
                results = found if isinstance(found, tuple | list) else (found,)
                for output, result in zip(op.outputs, results, strict=True):
                    values[output.name] = result.to(TYPES[output.type.tensorType.dataType])
        return values
