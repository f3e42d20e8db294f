"""Reduced files side by side: ways to int8, float16 and compressed weights, judged on real images through the runtime.

python -m benchmarks.convert_int8 [--weights build/bench/digits-0.safetensors build/bench/fashion-0.safetensors]

A ResNet-8 on scikit-learn's digits and a ResNet-20 on Fashion-MNIST; 256 training images calibrate, up to 2000
validation images judge. Core ML runs in the reference interpreter, so it has no latency. Two rows are alternatives that
`converters` did not take: ai-edge-quantizer with its own moving average, and PT2E through litert-torch.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import converters
from benchmarks import table
from benchmarks.train_baseline import train
from converters.artifact import SUFFIXES, Artifact
from converters.chatter import silenced
from converters.fold import export_folded
from converters.options import Inputs, Options
from converters.parity import RULES, Parity, compare, parity, reference
from edgeprune.sources.batches import calibration_batches
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from profilers.host.runner import measure

PAGE = Path("docs/converters.md")
TITLE = "Reduced files: what they cost and gain"
NETWORKS = {
    "ResNet-8, digits": ("builtin:resnet8", "builtin:digits", 15, "digits"),
    "ResNet-20, Fashion-MNIST": ("builtin:resnet20", "fashion-mnist:", 7, "fashion"),
}
OURS = (
    ("litert", "none"), ("litert", "fp16"), ("litert", "int8-weights"), ("litert", "int8"),
    ("executorch", "none"), ("executorch", "fp16"), ("executorch", "int8"),
    ("coreml", "fp16"), ("coreml", "int8"), ("coreml", "int8-weights"), ("coreml", "palettize"),
    ("onnx", "none"), ("onnx", "fp16"),
    ("onnx", "int8"),
)  # fmt: skip
HEADER = (
    "network",
    "file",
    "bytes",
    "of float32",
    "latency, ms",
    "same top-1, %",
    "accuracy, %",
    "torch, %",
    "SNR, dB",
)


@dataclass(frozen=True)
class Case:
    """A trained network and its images."""

    model: torch.nn.Module
    calibration: list[Inputs]
    val: list[Inputs]
    labels: list[int]


def load(spec: str, data_spec: str, epochs: int, weights: Path) -> Case:
    """The network, trained first if there are no weights yet."""
    if not weights.exists():
        weights.parent.mkdir(parents=True, exist_ok=True)
        train(spec, data_spec, epochs, 0.1, 0, weights)
    data = load_data(data_spec)
    images, labels = (tensor[:2000] for tensor in data.val.tensors)
    calibration = [(inputs,) for inputs, _ in calibration_batches(data, 256, batch_size=1)]
    return Case(load_model(spec, weights).eval(), calibration, [(x[None],) for x in images], labels.tolist())


def moving_average(case: Case, float_file: Artifact, path: Path) -> tuple[Artifact, Parity]:
    """ai-edge-quantizer as it comes: ranges by a moving average."""
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
    with silenced():
        work = quantizer.Quantizer(bytearray(float_file.path.read_bytes()), recipe.get_quantization_recipe())
        samples = [{"args_0": x.numpy()} for (x,) in case.calibration]
        path.write_bytes(work.quantize(work.calibrate({"serving_default": samples}, num_threads=1)).quantized_model)
    artifact = replace(float_file, path=path, precision="int8", size_bytes=path.stat().st_size)
    return artifact, parity(artifact, case.model, case.val, labels=case.labels)


def pt2e(case: Case, float_file: Artifact, path: Path) -> tuple[Artifact, Parity]:
    """PT2E through litert-torch: inputs and outputs become int8, which is undone here by the file's own scales."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    example = case.val[0]
    with silenced():
        scheme = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
        graph = torch.export.export(export_folded(case.model, example), example).module(check_guards=False)
        prepared = prepare_pt2e(graph, scheme)
        for sample in case.calibration:
            prepared(*sample)
        quantized = convert_pt2e(prepared, fold_quantize=False)
        content = litert_torch.convert(quantized, example, quant_config=QuantConfig(pt2e_quantizer=scheme))
        path.write_bytes(content.model_content())
        interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    entry, leave = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: torch.Tensor) -> Any:
        scale, zero = entry["quantization"]
        interpreter.set_tensor(entry["index"], np.clip(np.round(x.numpy() / scale) + zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        scale, zero = leave["quantization"]
        return (interpreter.get_tensor(leave["index"]).astype(np.float32) - zero) * scale

    found = [[run(x)] for (x,) in case.val]
    result = compare(reference(case.model, case.val), found, RULES["int8"], case.labels)
    return replace(float_file, path=path, precision="int8", size_bytes=path.stat().st_size), result


ALTERNATIVES: dict[str, Callable[[Case, Artifact, Path], tuple[Artifact, Parity]]] = {
    "litert int8, ranges by moving average": moving_average,
    "litert int8, PT2E (int8 inputs)": pt2e,
}


def rows(name: str, case: Case, folder: Path) -> list[tuple[str, ...]]:
    """The rows of one network."""
    files: dict[str, Artifact] = {}
    results: dict[str, Parity] = {}
    for fmt, quantize in OURS:
        label, path = f"{fmt} {quantize}", folder / f"{quantize}{SUFFIXES[fmt]}"
        options = Options(quantize=quantize, calibration=case.calibration)
        files[label] = converters.convert(case.model, case.val[0], fmt, path, options)
        results[label] = parity(files[label], case.model, case.val, labels=case.labels)
        print(name, label, results[label], flush=True)
    for label, make in ALTERNATIVES.items():
        files[label], results[label] = make(case, files["litert none"], folder / f"{make.__name__}.tflite")
        print(name, label, results[label], flush=True)
    latency: dict[str, float] = {}
    for fmt in ("litert", "executorch"):
        mine = {label: file for label, file in files.items() if file.format == fmt}
        found = measure(mine, rounds=5, memory=False)
        latency |= {label: measurement.latency.median for label, measurement in found.items()}
    body = []
    for label, file in files.items():
        whole = files.get(f"{file.format} none", file).size_bytes
        result = results[label]
        body.append((
            name, label.replace(" none", " float32"), str(file.size_bytes),
            f"{file.size_bytes / whole:.0%}" if file.format != "coreml" else "",
            f"{latency[label]:.4f}" if label in latency else "not run here",
            f"{100 * (result.agreement or 0):.2f}", f"{100 * (result.accuracy or 0):.2f}",
            f"{100 * (result.reference_accuracy or 0):.2f}", f"{result.snr_db or 0:.1f}",
        ))  # fmt: skip
    return body


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = [table.BUILD / f"{stem}-0.safetensors" for *_, stem in NETWORKS.values()]
    parser.add_argument("--weights", type=Path, nargs=len(NETWORKS), default=default)
    body = []
    for (name, (spec, data, epochs, _)), weights in zip(NETWORKS.items(), parser.parse_args().weights, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            body += rows(name, load(spec, data, epochs, weights), Path(folder))
    text = (
        "256 training images calibrate, the validation images (143 digits, 2000 of Fashion-MNIST) judge, through the "
        "runtime of the format; Core ML through the reference interpreter. Latency: one thread, a process a file, "
        "files taking turns, median; dB is signal to noise.\n\n" + table.markdown(HEADER, body)
    )
    table.write_section(PAGE, TITLE, text)


if __name__ == "__main__":
    main()
