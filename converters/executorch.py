"""ExecuTorch (.pte): float32, float16 or int8, the operations delegated to XNNPACK or to another backend of the wheel.

int8 is XNNPACK's: symmetric weights per output channel, activations per tensor over the ranges seen in calibration
(PT2E; Jacob et al. 2018). What the backend does not take runs in ExecuTorch's portable reference kernels, which are
slow: an error unless it is allowed.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from converters.contents import Contents
from converters.dynamic import export
from converters.errors import MissingExtra
from converters.global_mean import keep_mean_axes
from converters.half import halve
from converters.options import Inputs, Options

DISTRIBUTIONS = ("executorch", "torch")


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to `path`."""
    from executorch.exir import to_edge_transform_and_lower

    partitioner = _partitioner(options)
    _expand_hard_sigmoid(graph_module)
    keep_mean_axes(graph_module)
    if options.quantize == "fp16":
        halve(graph_module)
    elif options.quantize == "int8":
        graph_module = _quantized(graph_module, example_inputs, options)
    program = export(graph_module, example_inputs, options)
    lowered = to_edge_transform_and_lower(program, partitioner=[partitioner])
    path.write_bytes(lowered.to_executorch().buffer)


def _quantized(module: fx.GraphModule, example: Inputs, options: Options) -> fx.GraphModule:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    scheme = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(export(module, example, options).module(check_guards=False), scheme)
    for sample in options.calibration:
        prepared(*sample)
    quantized: fx.GraphModule = convert_pt2e(prepared)
    return quantized


MOVES = {"dim_order_ops::_to_dim_order_copy", "aten::view_copy", "aten::sym_size"}
SIZES = "executorch_prim::"  # views, and arithmetic on the sizes of open shapes


def portable(contents: Contents) -> dict[str, int]:
    """The operations that would run in portable kernels, by name; casts, views and sizes compute nothing."""
    inside = contents.delegated or {}
    outside = {op: count - inside.get(op, 0) for op, count in contents.ops.items()}
    return {op: count for op, count in outside.items() if count and op not in MOVES and not op.startswith(SIZES)}


def _partitioner(options: Options) -> Any:
    """Who decides what the backend takes. Raises MissingExtra where the wheel lacks the backend or its tools."""
    try:
        return _PARTITIONERS[options.delegate](options)
    except (ImportError, OSError, AttributeError, KeyError) as error:
        raise MissingExtra(
            f"ExecuTorch's {options.delegate} backend is not in this install: {error}", _CURES[options.delegate]
        ) from error


def _xnnpack(_: Options) -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _coreml(options: Options) -> Any:
    """Core ML computes in float16 unless it is told to keep float32."""
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    precision = ct.precision.FLOAT32 if options.quantize == "none" else ct.precision.FLOAT16
    specs = CoreMLBackend.generate_compile_specs(compute_precision=precision)
    return CoreMLPartitioner(compile_specs=specs)


def _vulkan(_: Options) -> Any:
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    return VulkanPartitioner()


def _qnn(_: Options) -> Any:
    if "QNN_SDK_ROOT" not in os.environ:  # the wheel would download an SDK of gigabytes by itself
        raise ImportError("QNN_SDK_ROOT is not set")
    from executorch.backends.qualcomm.partition.qnn_partitioner import QnnPartitioner
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.qualcomm.utils.utils import (
        generate_htp_compiler_spec,
        generate_qnn_executorch_compiler_spec,
    )

    backend = generate_htp_compiler_spec(use_fp16=True)
    return QnnPartitioner(generate_qnn_executorch_compiler_spec(QcomChipset.SM8650, backend))


_PARTITIONERS = {"xnnpack": _xnnpack, "coreml": _coreml, "vulkan": _vulkan, "qnn": _qnn}
_CURES = {
    "xnnpack": 'pip install "edgeprune[executorch]"',
    "coreml": 'pip install "edgeprune[executorch,coreml]"',
    "vulkan": "Build ExecuTorch with EXECUTORCH_BUILD_VULKAN, or use --backend xnnpack.",
    "qnn": "Install Qualcomm's AI Engine Direct SDK and set QNN_SDK_ROOT, or use --backend xnnpack.",
}


def _expand_hard_sigmoid(graph_module: fx.GraphModule) -> None:
    """ExecuTorch's own expansion casts float to float twice outside the delegate, at each squeeze-excite block."""
    aten = torch.ops.aten
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.target in (aten.hardsigmoid.default, aten.hardsigmoid_.default):
            with graph.inserting_before(node):
                shifted = graph.call_function(aten.add.Tensor, (node.args[0], 3.0))
                clamped = graph.call_function(aten.hardtanh.default, (shifted, 0.0, 6.0))
                scaled = graph.call_function(aten.mul.Tensor, (clamped, 1.0 / 6.0))
            node.replace_all_uses_with(scaled)
            graph.erase_node(node)
    graph_module.recompile()
