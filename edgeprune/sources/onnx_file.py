"""A `.onnx` file as a torch module, through onnxslim (constants folded, shapes known) and onnx2torch."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeprune.errors import EnvironmentProblem, UsageError

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
        graph = onnxslim.slim(graph, skip_fusion_patterns=["FusionConvBN"])  # batch norms are scored and re-estimated
        if any(entry.domain == "" and entry.version > _OPERATOR_SET for entry in graph.opset_import):
            graph = onnx.version_converter.convert_version(graph, _OPERATOR_SET)
    except Exception as error:  # protobuf, onnx and onnxslim each have errors of their own, without a common base
        raise UsageError(f"{path} is no ONNX file that can be read: {error}", "export it again") from error
    _free_batch(graph)
    missing = _missing(graph)
    if missing:
        raise UsageError(
            f"{path} has operators that onnx2torch lacks: {', '.join(missing)}", "give the model as file.py:function"
        )
    try:
        module: nn.Module = onnx2torch.convert(graph)
    except Exception as error:  # a converter of one operator may fail in any way
        raise UsageError(f"{path} cannot become a torch module: {error}", "give it as file.py:function") from error
    _make_matrices_trainable(module)
    return module.eval()


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


def _free_batch(graph: Any) -> None:
    """Let networks that were exported for one image take batches: a Reshape to (1, ...) copies its input's batch."""
    import onnx
    import onnx.shape_inference

    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    described = onnx.shape_inference.infer_shapes(graph).graph
    known = [*described.input, *described.value_info, *described.output]
    single = {v.name for v in known if [d.dim_value for d in v.type.tensor_type.shape.dim][:1] == [1]}
    for node in graph.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = onnx.numpy_helper.to_array(constants[node.input[1]]).copy()
        zeros_copy = not any(a.name == "allowzero" and a.i for a in node.attribute) or 0 not in shape
        if zeros_copy:
            del node.attribute[:]  # allowzero, which onnx2torch lacks, means nothing here
        if zeros_copy and node.input[0] in single and len(shape) > 1 and shape[0] == 1:
            shape[0] = 0
            name = f"{node.input[1]}_any_batch_of_{node.output[0]}"
            graph.graph.initializer.append(onnx.numpy_helper.from_array(shape, name))
            node.input[1] = name


def _make_matrices_trainable(module: nn.Module) -> None:
    """onnx2torch keeps weights that are no layer's (of MatMul, of Add) as buffers: matrices become parameters."""
    for owner in module.modules():
        for name, buffer in list(owner.named_buffers(recurse=False)):
            matrix = sum(size > 1 for size in buffer.shape) >= 2
            if matrix and name.startswith("onnx_initializer") and buffer.is_floating_point():
                delattr(owner, name)
                owner.register_parameter(name, nn.Parameter(torch.clone(buffer)))
