"""LiteRT (.tflite) by the other road: ONNX, then onnx2tf and TensorFlow in an environment of their own.

Its TensorFlow and NumPy cannot live beside torch's converters, so it runs as a process: .onnx in, .tflite out. `make
onnx2tf` makes that environment. onnx2tf fetches a set of sample images from the net unless it finds one: it is handed
one made of the calibration inputs.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from converters import onnx
from converters.errors import ConversionError
from converters.litert import channels_last
from converters.litert_quantize import SIGNATURE, quantized
from converters.onnx2tf_environment import find, versions
from converters.options import Inputs, Options

DISTRIBUTIONS = (*onnx.DISTRIBUTIONS, "ai-edge-litert", "ai-edge-quantizer")
__all__ = ["DISTRIBUTIONS", "versions", "write"]
_SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"  # the name that onnx2tf looks for


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to `path`. Raises MissingExtra if the environment is not there."""
    program = find()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.write(graph_module, example_inputs, folder / "net.onnx", replace(options, quantize="none"))
        np.save(folder / _SAMPLES, _sample_images(options.calibration or [example_inputs]))
        keep = [] if options.nhwc else ["-kat", *(f"args_{i}" for i in range(len(example_inputs)))]
        command = [str(program), "-i", "net.onnx", "-o", "out", "-osd", "-n", *keep]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        sys.stdout.write(done.stdout + done.stderr)
        made = folder / "out" / "net_float32.tflite"
        if not made.is_file():
            raise ConversionError(f"onnx2tf refused the model: {_reason(done)}", "Convert it with litert-torch.")
        content = _with_signature(made.read_bytes())
    if options.quantize != "none":
        calibration = [channels_last(x) for x in options.calibration] if options.nhwc else options.calibration
        content = quantized(content, options.quantize, calibration)
    path.write_bytes(content)


def _with_signature(content: bytes) -> bytes:
    """The file with the signature that litert-torch writes: args_0, ... and output_0, ... by name; onnx2tf has none."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    graph, signature = model.subgraphs[0], schema.SignatureDefT()
    names = {index: graph.tensors[index].name.decode() for index in graph.inputs}
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_tensor_map(names[index], index) for index in graph.inputs]
    signature.outputs = [_tensor_map(f"output_{i}", index) for i, index in enumerate(graph.outputs)]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor_map(name: str, index: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


def _sample_images(calibration: Sequence[Inputs]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """20 images of (128, 128, 3) out of whatever the network takes."""
    first = torch.cat([sample[0][:1] for sample in calibration[:20]]).float()
    images = first if first.ndim == 4 else first.reshape(len(first), 1, 1, -1)
    images = F.interpolate(images[:, :3].mean(1, keepdim=True), size=(128, 128)).expand(-1, 3, -1, -1)
    repeated = images[torch.arange(20) % len(images)]
    return repeated.permute(0, 2, 3, 1).contiguous().numpy()


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
    return lines[-1] if lines else f"it ended with code {done.returncode} and no message"
