"""The ATen graph of the model, as `torch.export` sees it: what labels, layers and the oracle read."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from edgeprune.graph.errors import TraceError
from edgeprune.graph.record import Program, record

_LIBRARY = f"{Path(torch.__file__).parent}/"


@dataclass(frozen=True)
class Trace:
    """A traced network.

    `program` is the network as it is deployed (eval mode). `train_program` is traced only if training reaches
    parameters that deployment does not (auxiliary heads; `train_only`). `tied` maps every name of a shared tensor to
    its first name.
    """

    program: Program
    train_program: Program | None
    example_inputs: tuple[Tensor, ...]
    tied: dict[str, str]
    notes: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()

    @property
    def batch(self) -> int:
        """Size of axis 0 of the first example input."""
        return int(self.example_inputs[0].shape[0]) if self.example_inputs and self.example_inputs[0].dim() else 1


def trace(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> Trace:
    """Trace `model` as called with `example_inputs` (N, C, H, W for images). The model's modes are left as they were.

    Raises TraceError, naming the operation and the user's file and line, if the model cannot be exported. A trace
    costs a tenth of an export and promises less: converting the network exports it.
    """
    tied = tied_names(model)
    notes: list[str] = []
    train_program = None
    with switched(model, training=False):
        program = _program(model, example_inputs)
    unreached = sorted({n for n, _ in model.named_parameters()} - {tied.get(p, p) for p in parameters_of(program)})
    if unreached:
        try:
            with switched(model, training=True), preserved_buffers(model), _no_counters(model):
                train_program = _program(model, tuple(_two(x) for x in example_inputs))
        except TraceError as error:
            notes.append(
                f"training-only parameters ({', '.join(unreached[:3])}, ...) cannot be traced and keep their widths: "
                f"{error.message}"
            )
    return Trace(program, train_program, tuple(example_inputs), tied, tuple(notes), tuple(unreached))


def parameters_of(program: Program) -> dict[str, str]:
    """Qualified name -> placeholder name, of every parameter and buffer that the graph reads."""
    signature = program.graph_signature
    used = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    owned = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    return {name: placeholder for placeholder, name in owned.items() if placeholder in used}


def op_name(node: fx.Node) -> str:
    """Name of an ATen op without overload and in-place mark: `aten::relu_.default` -> `relu`."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return getattr(node.target, "__name__", str(node.target))
    name = str(schema.name).split("::")[-1]
    return name.rstrip("_") if not name.startswith("__") else name


def bound(node: fx.Node) -> dict[str, Any]:
    """Arguments of a call by the names of the op's schema, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(index): value for index, value in enumerate(node.args)} | dict(node.kwargs)
    values: dict[str, Any] = {}
    for index, argument in enumerate(schema.arguments):
        if index < len(node.args):
            values[argument.name] = node.args[index]
        elif argument.name in node.kwargs:
            values[argument.name] = node.kwargs[argument.name]
        elif argument.has_default_value():
            values[argument.name] = argument.default_value
    return values


def source_of(node: fx.Node) -> str:
    """`op at file:line` of the innermost user frame that made this node."""
    frame = ""
    for line in str(node.meta.get("stack_trace") or "").splitlines():
        line = line.strip()
        if line.startswith('File "') and _LIBRARY not in line:
            path, _, rest = line[len('File "') :].partition('", line ')
            frame = f"{Path(path).name}:{rest.split(',')[0]}"
    return f"{op_name(node)} at {frame}" if frame else op_name(node)


@contextmanager
def switched(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put every module into train or eval mode, and back afterwards. Exported modules keep the mode they have."""
    modes = {module: module.training for module in model.modules()}
    for module in modes:
        module.training = training
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def preserved_buffers(model: nn.Module) -> Iterator[None]:
    """Undo what a train-mode forward does to running statistics."""
    saved = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)


@contextmanager
def _no_counters(model: nn.Module) -> Iterator[None]:
    """Batch norms that average cumulatively (momentum None) read a counter, which does not export."""
    cumulative = [module for module in model.modules() if getattr(module, "momentum", 0.0) is None]
    for module in cumulative:
        module.momentum = 0.1  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in cumulative:
            module.momentum = None  # type: ignore[assignment]


def tied_names(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer that is registered more than once -> its first name."""
    first: dict[int, str] = {}
    tied: dict[str, str] = {}
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        tied[name] = first.setdefault(id(tensor), name)
    return {name: owner for name, owner in tied.items() if name != owner}


def _two(x: Tensor) -> Tensor:
    """At least two examples, which BatchNorm needs in train mode."""
    return x if x.dim() == 0 or x.shape[0] > 1 else torch.cat([x, x])


def _program(model: nn.Module, inputs: tuple[Tensor, ...]) -> Program:
    """Recorded; exported if that fails, which manages more and says what is wrong with the rest."""
    try:
        return record(model, inputs)
    except Exception:  # the user's code may raise anything when it does not run on fake tensors
        return Program.of(export(model, inputs))


def export(model: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """`torch.export`. Raises TraceError if it fails."""
    try:
        return torch.export.export(model, inputs, strict=False)
    except Exception as error:
        where, code = _user_frame(error)
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise TraceError(
            f"the model does not export (inputs {shapes}): `{code}` at {where}: {type(error).__name__}: {what}",
            "make this line independent of the tensors' values and of the input's shape (see torch.export's docs); "
            "what cannot be exported cannot be converted for a phone",
        ) from error


def _user_frame(error: BaseException) -> tuple[str, str]:
    """File:line and code of the innermost frame outside torch and this package."""
    here = str(Path(__file__).parent)
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for link in reversed(chain):
        frames = traceback.extract_tb(link.__traceback__)
        user = [
            f for f in frames if not f.filename.startswith((_LIBRARY, here, sys.prefix + "/lib/python3.11/site-pack"))
        ]
        user = [f for f in user if "<frozen" not in f.filename and not f.filename.endswith("contextlib.py")]
        if user:
            frame = next((f for f in reversed(user) if f.name == "forward"), user[-1])
            return f"{frame.filename}:{frame.lineno}", frame.line or frame.name
    return "an unknown line", "forward"
