"""A `.onnx` file as a torch module, through onnxslim (constants folded, shapes known) and onnx2torch.

Files from TensorFlow and Keras (tf2onnx) take images as (N, H, W, C) and transpose them at once: that step is left out,
so that the network takes (N, C, H, W) like all others here.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.sources.relative_shapes import free_shapes

_OPERATOR_SET = 17  # the newest that onnx2torch has all common operators of


def load_onnx(path: Path) -> nn.Module:
    """The network of an ONNX file, in eval mode; it can be pruned, trained and converted like one from torch.

    Raises UsageError if the file is missing, broken, or has operators that onnx2torch lacks (they are named);
    EnvironmentProblem if the packages are not installed.
    """
    try:
        import onnx
        import onnx.version_converter
        import onnx2torch
        import onnxslim
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"{path.name} needs {error.name}, which is not installed", 'pip install "edgeprune[onnx]"'
        ) from error
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        graph = onnx.load(str(path))
        onnx.checker.check_model(graph)
        _name_batch(graph)
        graph = onnxslim.slim(graph, skip_fusion_patterns=["FusionConvBN"])  # batch norms are scored and re-estimated
        if any(entry.domain == "" and entry.version > _OPERATOR_SET for entry in graph.opset_import):
            graph = onnx.version_converter.convert_version(graph, _OPERATOR_SET)
    except Exception as error:  # protobuf, onnx and onnxslim each have errors of their own, without a common base
        raise UsageError(f"{path} is no ONNX file that can be read: {error}", "export it again") from error
    _channels_first(graph)
    _allow_zero(graph)
    missing = _missing(graph)
    if missing:
        raise UsageError(
            f"{path} has operators that onnx2torch lacks: {', '.join(missing)}", "give the model as file.py:function"
        )
    try:
        module: fx.GraphModule = onnx2torch.convert(graph)
    except Exception as error:  # a converter of one operator may fail in any way
        raise UsageError(f"{path} cannot become a torch module: {error}", "give it as file.py:function") from error
    module.eval()
    shapes = [[d.dim_value for d in entry.type.tensor_type.shape.dim] for entry in graph.graph.input]
    if all(size > 0 for shape in shapes for size in shape):
        _free_reshapes(module, shapes)
    _make_matrices_trainable(module)
    return module


def _missing(graph: Any) -> list[str]:
    """Operators of the main graph for which onnx2torch has no converter in the graph's version of the operator set."""
    from onnx2torch.node_converters import get_converter

    versions = {entry.domain: entry.version for entry in graph.opset_import}
    missing = set()
    for node in graph.graph.node:
        version = versions.get(node.domain, 1)
        try:
            get_converter(operation_type=node.op_type, version=version, domain=node.domain)
        except NotImplementedError:
            missing.add(f"{node.op_type} (operator set {version})")
    return sorted(missing)


def _name_batch(graph: Any) -> None:
    """A batch of any size is 1 while shapes are worked out, so that onnxslim finds them all."""
    for entry in (*graph.graph.input, *graph.graph.output):
        sizes = entry.type.tensor_type.shape.dim
        if len(sizes) > 1 and sizes[0].dim_value == 0:
            sizes[0].dim_value = 1


def _channels_first(graph: Any) -> None:
    """Leave out the step with which a network of TensorFlow brings its pictures into (N, C, H, W)."""
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    for entry in graph.graph.input:
        sizes = [d.dim_value for d in entry.type.tensor_type.shape.dim]
        readers = [node for node in graph.graph.node if entry.name in node.input]
        if len(sizes) != 4 or not readers or not all(_to_channels_first(n, sizes, constants) for n in readers):
            continue
        for d, size in zip(entry.type.tensor_type.shape.dim, (sizes[0], sizes[3], *sizes[1:3]), strict=True):
            d.dim_value = size
        for node in readers:
            for other in graph.graph.node:
                for position, name in enumerate(other.input):
                    if name == node.output[0]:
                        other.input[position] = entry.name
            graph.graph.node.remove(node)


def _to_channels_first(node: Any, sizes: list[int], constants: dict[str, Any]) -> bool:
    import onnx

    if node.op_type == "Transpose":
        return any(a.name == "perm" and list(a.ints) == [0, 3, 1, 2] for a in node.attribute)
    if node.op_type == "Reshape" and node.input[1] in constants and sizes[3] == 1:
        target = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
        return target[1:] == [1, *sizes[1:3]] and target[0] in (-1, 0, sizes[0])
    return False


def _allow_zero(graph: Any) -> None:
    """Reshape's allowzero, which onnx2torch lacks, means nothing where no size is zero."""
    import onnx

    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        known = node.op_type == "Reshape" and node.input[1] in constants
        if known and 0 not in onnx.numpy_helper.to_array(constants[node.input[1]]):
            del node.attribute[:]


class _Shapes(fx.Interpreter):
    """Notes the shape of every value."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["val"] = result.to("meta")
        return result


def _free_reshapes(module: fx.GraphModule, shapes: list[list[int]]) -> None:
    """Reshapes to sizes that are written in the file follow their input (see relative_shapes.py)."""
    with torch.no_grad():
        _Shapes(module).run(*(torch.zeros(shape) for shape in shapes))
    for node in list(module.graph.nodes):
        written = node.op == "call_module" and type(module.get_submodule(node.target)).__name__ == "OnnxReshape"
        if written and node.args[1].op == "get_attr":
            with module.graph.inserting_before(node):
                sizes = list(node.meta["val"].shape)
                resized = module.graph.call_function(torch.ops.aten.reshape.default, (node.args[0], sizes))
            resized.meta = node.meta
            node.replace_all_uses_with(resized)
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    free_shapes(module)


def _make_matrices_trainable(module: nn.Module) -> None:
    """onnx2torch keeps weights that are no layer's (of MatMul, of Add) as buffers: matrices become parameters."""
    for owner in module.modules():
        for name, buffer in list(owner.named_buffers(recurse=False)):
            matrix = sum(size > 1 for size in buffer.shape) >= 2
            if matrix and name.startswith("onnx_initializer") and buffer.is_floating_point():
                delattr(owner, name)
                owner.register_parameter(name, nn.Parameter(torch.clone(buffer)))
