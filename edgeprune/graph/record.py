"""The ATen graph of one forward pass, recorded above autograd: what `torch.export` writes down, without its passes.

Operators are intercepted at the dispatch key that `torch.export` traces at (torch 2.14, `make_fx(pre_dispatch=True)`)
and run on tensors without values: on the meta device, which is fast, or, for code that makes tensors from numbers or
mixes devices, on fake tensors. No value is computed, and code that asks for one raises. Ours.
"""

import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dispatch.python import enable_python_dispatcher, no_python_dispatcher
from torch._export.utils import _compiling_state_context
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch._subclasses.schema_check_mode import SchemaCheckMode
from torch.export import ExportedProgram, ExportGraphSignature
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_LIBRARY = f"{Path(torch.__file__).parent}/"
_OURS = f"{Path(__file__).parent}/"
_BATCH_NORM = torch.ops.aten.batch_norm.default  # on fake tensors a dozen operators, for the shape of its input
_SCALAR = torch.ops.aten.scalar_tensor.default  # elsewhere a number that meets a tensor is lifted, on meta it is not
_LIFT, _LIFT_COPY = torch.ops.aten.lift_fresh.default, torch.ops.aten.lift_fresh_copy.default


@dataclass(frozen=True)
class Program:
    """What this package reads of an exported program; the fields mean what `torch.export.ExportedProgram`'s do."""

    graph: fx.Graph
    graph_signature: ExportGraphSignature
    state_dict: dict[str, Tensor]
    constants: dict[str, Any]

    @classmethod
    def of(cls, exported: ExportedProgram) -> "Program":
        return cls(exported.graph, exported.graph_signature, exported.state_dict, exported.constants)


def record(model: nn.Module, inputs: tuple[Tensor, ...]) -> Program:
    """The graph of `model(*inputs)`. Raises whatever the model raises on fake tensors, and RuntimeError if it keeps
    tensors in attributes, which a graph cannot.
    """
    try:
        return _record(model, inputs, torch.device("meta"), _on_meta)
    except Exception:  # the user's code may raise anything when its device is not the one it knows
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        return _record(model, inputs, mode, mode.from_tensor)


def _record(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    mode: "AbstractContextManager[Any]",
    empty: Callable[[Tensor], Tensor],
) -> Program:
    """The graph of a forward pass under `mode`, on tensors that `empty` makes like the real ones."""
    recorder = _Recorder(inputs[0].device if inputs else torch.device("cpu"))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    buffers = dict(model.named_buffers(remove_duplicate=False))
    state: dict[str, Tensor] = {**parameters, **buffers}
    fakes: dict[int, Tensor] = {id(tensor): empty(tensor) for tensor in state.values()}
    for kind, prefix, tensors in ((InputKind.PARAMETER, "p", parameters), (InputKind.BUFFER, "b", buffers)):
        for name, tensor in tensors.items():
            recorder.input(kind, f"{prefix}_{name.replace('.', '_')}", fakes[id(tensor)], name)
    arguments = tuple(empty(x) for x in inputs)
    for number, argument in enumerate(arguments):
        recorder.input(InputKind.USER_INPUT, f"input_{number}", argument, None)
    swapped = _reparametrize_module(model, {name: fakes[id(tensor)] for name, tensor in state.items()})
    with mode, _unchanged_attributes(model), swapped, _compiling_state_context(), enable_python_dispatcher(), recorder:
        outputs = model(*arguments)
    return recorder.program(pytree.tree_leaves(outputs), state)


def _on_meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


class _Recorder(SchemaCheckMode):  # type: ignore[no-untyped-call]
    """A node for every operator that is called. Of torch's modes at this key, this kind alone needs no others."""

    def __init__(self, home: torch.device) -> None:
        """`home`: the device that the graph names, where the tensors without values have another."""
        self.home = home
        TorchDispatchMode.__init__(self, torch._C.DispatchKey.PreDispatch)  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.first: fx.Node | None = None
        self.nodes: dict[int, fx.Node] = {}
        self.constants: dict[str, Any] = {}
        self.specs: list[InputSpec] = []
        self.alive: list[Tensor] = []  # so that no id comes twice

    def input(self, kind: InputKind, name: str, value: Tensor, target: str | None) -> fx.Node:
        """A placeholder. Of a tensor that has several names the first one is read."""
        node = self.graph.placeholder(name)
        self.first = self.first or node
        persistent = True if kind is InputKind.BUFFER else None
        self.specs.append(InputSpec(kind, TensorArgument(node.name), target, persistent))
        if id(value) not in self.nodes:
            self._made(value, node)
        node.meta["val"] = value
        return node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with no_python_dispatcher():
            result = torch.empty_like(args[0]) if func is _BATCH_NORM else func(*args, **kwargs)
        if func is _SCALAR and result.is_meta:
            raise RuntimeError("a number becomes a tensor, which is not recorded alike on the meta device")
        recorded = _LIFT_COPY if func is _LIFT else func
        name = self.graph._target_to_str(recorded.overloadpacket.__name__)
        node = self.graph.create_node("call_function", recorded, self._nodes(args), self._nodes(kwargs), name)
        node.meta["stack_trace"] = _place()
        self._made(result, node)
        return result

    def _made(self, value: Any, node: fx.Node) -> None:
        node.meta["val"] = value
        if isinstance(value, Tensor):
            self.nodes[id(value)] = node
            self.alive.append(value)
        elif isinstance(value, (tuple, list)):
            for index, part in enumerate(value):
                if isinstance(part, Tensor):
                    self._made(part, self.graph.call_function(operator.getitem, (node, index)))

    def _nodes(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.nodes.get(id(value)) or self._constant(value)
        if isinstance(value, (list, tuple)):
            return type(value)(self._nodes(part) for part in value)
        if isinstance(value, dict):
            return {key: self._nodes(part) for key, part in value.items()}
        return self.home if isinstance(value, torch.device) and value.type == "meta" else value

    def _constant(self, value: Tensor) -> fx.Node:
        """A tensor that the code made from numbers, or that is no buffer."""
        if _is_empty(value):
            raise RuntimeError("a tensor comes from an operator that was not seen")
        name = f"c_lifted_tensor_{len(self.constants)}"
        self.constants[name] = value
        with self.graph.inserting_before(self.first):
            return self.input(InputKind.CONSTANT_TENSOR, name, value, name)

    def program(self, outputs: list[Any], state: dict[str, Tensor]) -> Program:
        """Everything recorded, with these outputs."""
        leaves = [self._nodes(value) if isinstance(value, Tensor) else None for value in outputs]
        self.graph.output(tuple(leaves))
        arguments = [ConstantArgument("", None) if leaf is None else TensorArgument(leaf.name) for leaf in leaves]
        results = [OutputSpec(OutputKind.USER_OUTPUT, argument, None) for argument in arguments]
        order = {node.name: position for position, node in enumerate(self.graph.nodes)}
        inputs = sorted(self.specs, key=lambda spec: order[spec.arg.name])
        return Program(self.graph, ExportGraphSignature(inputs, results), state, self.constants)


def _place() -> str:
    """The innermost line outside torch and this package, written as in a traceback."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith((_LIBRARY, "<")):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None or frame.f_code.co_filename.startswith(_OURS):
        return ""
    return f'File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'


@contextmanager
def _unchanged_attributes(model: nn.Module) -> Iterator[None]:
    """No fake tensor is left behind in the user's modules."""
    before = {module: dict(vars(module)) for module in model.modules()}
    try:
        yield
    finally:
        changed = []
        for module, attributes in before.items():
            for name, value in list(vars(module).items()):
                if value is not attributes.get(name) and _holds_fake(value):
                    changed.append(f"{type(module).__name__}.{name}")
                    vars(module).pop(name)
                    if name in attributes:
                        vars(module)[name] = attributes[name]
    if changed:
        raise RuntimeError(f"the forward pass keeps tensors in {', '.join(changed)}")


def _holds_fake(value: Any) -> bool:
    return any(_is_empty(leaf) for leaf in pytree.tree_leaves(value))


def _is_empty(value: Any) -> bool:
    return isinstance(value, FakeTensor) or (isinstance(value, Tensor) and value.is_meta)
