"""ONNX (.onnx), opset 20, one file: float32, float16 or int8 inside, inputs and outputs float32."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, fx

from converters.dynamic import export
from converters.half import halve
from converters.onnx_quantize import quantize
from converters.options import Options

DISTRIBUTIONS = ("onnx", "onnxscript", "onnxruntime", "torch")
OPSET = 20


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to `path`. Inputs are named args_0, args_1, ... and outputs output_0, ..."""
    if options.quantize == "fp16":
        halve(graph_module)
    outputs = next(node for node in graph_module.graph.nodes if node.op == "output").args[0]
    program = export(graph_module, example_inputs, options)
    exported = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[f"args_{i}" for i in range(len(example_inputs))],
        output_names=[f"output_{i}" for i in range(len(outputs))],
        verbose=False,
    )
    assert exported is not None
    for node in exported.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: half the file of a small network, and the paths of this machine
    if options.quantize != "int8":
        exported.save(str(path), external_data=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        exported.save(f"{folder}/float32.onnx", external_data=False)
        quantize(Path(folder, "float32.onnx"), path, options.calibration)
