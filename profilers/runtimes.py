"""Run a converted file: LiteRT, ExecuTorch and, on a Mac, Core ML. torch is imported only for ExecuTorch."""

import importlib
import importlib.metadata
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from profilers.apple.core_ml import CoreMLSession, core_ml
from profilers.errors import MeasurementError, RuntimeNotInstalled

Array = npt.NDArray[Any]

# (importable module with an `Interpreter`, distribution that carries its version), best first
LITERT_INTERPRETERS = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)

# ExecuTorch's ScalarType codes that a network's input can have
SCALAR_TYPES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64"}


class Session(Protocol):
    """A loaded model. `threads` is what the runtime was told to use and, where it can be asked, what it says it uses.

    `delegate` is "xnnpack" if part of the graph runs there, else "none". Shapes are in the file's own layout.
    """

    runtime: str
    runtime_version: str
    threads: int
    delegate: str
    input_shapes: tuple[tuple[int, ...], ...]
    input_dtypes: tuple[str, ...]

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Copy the inputs in, in the order of the model's arguments. Raises MeasurementError if they do not fit."""

    def invoke(self) -> None:
        """Run once on the inputs set: the only call that is timed."""

    def outputs(self) -> list[Array]:
        """Copies of the outputs of the last run, in the order the model returns them."""

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """set_inputs, invoke, outputs."""


class _Session:
    runtime = ""
    runtime_version = ""
    threads = 1
    delegate = "none"
    input_shapes: tuple[tuple[int, ...], ...] = ()
    input_dtypes: tuple[str, ...] = ()

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        raise NotImplementedError

    def invoke(self) -> None:
        raise NotImplementedError

    def outputs(self) -> list[Array]:
        raise NotImplementedError

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        self.set_inputs(inputs)
        self.invoke()
        return self.outputs()

    def _check(self, inputs: Sequence[Array]) -> None:
        found = tuple((tuple(x.shape), str(x.dtype)) for x in inputs)
        wanted = tuple(zip(self.input_shapes, self.input_dtypes, strict=True))
        if found != wanted:
            raise MeasurementError(f"the inputs do not fit: the file takes {wanted}, got {found}")


def _natural(name: str) -> tuple[int, str]:
    number = re.search(r"(\d+)$", name)
    return (int(number.group(1)) if number else 0, name)


class LiteRTSession(_Session):
    """A .tflite in ai-edge-litert, else tflite-runtime, else TensorFlow."""

    def __init__(self, path: Path, threads: int) -> None:
        module, self.runtime_version = _litert()
        self.runtime, self.threads = "litert", threads
        try:
            self._interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise MeasurementError(f"{path.name} is not a LiteRT model that this runtime can load: {error}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        order_in, order_out = self._order([d["index"] for d in inputs], [d["index"] for d in outputs])
        by_index = {d["index"]: d for d in inputs}
        self._inputs, self._outputs = order_in, order_out
        self.input_shapes = tuple(tuple(int(n) for n in by_index[i]["shape"]) for i in order_in)
        self.input_dtypes = tuple(np.dtype(by_index[i]["dtype"]).name for i in order_in)
        ops: list[Any] = getattr(self._interpreter, "_get_ops_details", list)()
        self.delegate = "xnnpack" if any(op["op_name"] == "DELEGATE" for op in ops) else "none"

    def _order(self, inputs: list[int], outputs: list[int]) -> tuple[list[int], list[int]]:
        """Tensor indices in the order of the model's arguments (args_0, args_1, ...), not of the flatbuffer."""
        signatures: dict[str, Any] = getattr(self._interpreter, "_get_full_signature_list", dict)()
        if len(signatures) != 1:
            return inputs, outputs
        (signature,) = signatures.values()
        by_name = [
            [signature[side][n] for n in sorted(signature[side], key=_natural)] for side in ("inputs", "outputs")
        ]
        whole = sorted(by_name[0]) == sorted(inputs) and sorted(by_name[1]) == sorted(outputs)
        return (by_name[0], by_name[1]) if whole else (inputs, outputs)

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        self._check(inputs)
        for index, value in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, value)

    def invoke(self) -> None:
        self._interpreter.invoke()

    def outputs(self) -> list[Array]:
        return [np.array(self._interpreter.get_tensor(i)) for i in self._outputs]


class ExecuTorchSession(_Session):
    """A .pte in ExecuTorch's Python runtime; its thread pool is the process's own, so the last session sets it."""

    def __init__(self, path: Path, threads: int) -> None:
        self._torch, library, self.runtime_version = _executorch()
        self.runtime = "executorch"
        if library._threadpool_get_thread_count() != threads:
            library._unsafe_reset_threadpool(threads)
        self.threads = int(library._threadpool_get_thread_count())
        if self.threads != threads:
            raise MeasurementError(f"ExecuTorch runs {self.threads} threads, asked for {threads}")
        try:
            self._program = library._load_program(str(path))
            self._method = self._program.load_method("forward")
        except RuntimeError as error:
            raise MeasurementError(
                f"{path.name} is not an ExecuTorch program this runtime can load: {error}"
            ) from error
        meta = self._program.method_meta("forward")
        infos = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        self.input_shapes = tuple(tuple(int(n) for n in info.sizes()) for info in infos)
        self.input_dtypes = tuple(SCALAR_TYPES[info.dtype()] for info in infos)
        self.delegate = "xnnpack" if b"XnnpackBackend" in path.read_bytes() else "none"

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        self._check(inputs)
        self._held = [self._torch.from_numpy(np.ascontiguousarray(x)) for x in inputs]
        self._method.set_inputs(self._held)

    def invoke(self) -> None:
        self._method.execute()

    def outputs(self) -> list[Array]:
        return [np.array(x.numpy()) for x in self._method.get_outputs()]


def _litert() -> tuple[Any, str]:
    for module, distribution in LITERT_INTERPRETERS:
        try:
            return importlib.import_module(module), importlib.metadata.version(distribution)
        except (ImportError, importlib.metadata.PackageNotFoundError):
            continue
    raise RuntimeNotInstalled("no LiteRT runtime is installed", "pip install ai-edge-litert")


def _executorch() -> tuple[Any, Any, str]:
    """torch, the C++ extension and its version. `portable_lib` would import torch.export too (10 s)."""
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("executorch.extension.pybindings.data_loader")
        library = importlib.import_module("executorch.extension.pybindings._C")
    except ImportError as error:
        raise RuntimeNotInstalled(
            f"ExecuTorch's runtime cannot be loaded: {error}", "pip install executorch"
        ) from error
    return torch, library, importlib.metadata.version("executorch")


OPENERS: dict[str, Callable[[Path, int], Session]] = {
    "litert": LiteRTSession,
    "executorch": ExecuTorchSession,
    "coreml": CoreMLSession,
}
PRELOAD: dict[str, Callable[[], object]] = {"litert": _litert, "executorch": _executorch, "coreml": core_ml}


def preload(format: str) -> None:
    """Import what a format needs, so that its cost is in neither load time nor memory. Raises RuntimeNotInstalled."""
    np.random.default_rng(0)  # NumPy imports this part, 2.4 MiB, when it is first used: by `random_inputs`
    if format in PRELOAD:
        PRELOAD[format]()


def open_session(path: Path | str, format: str, threads: int = 1) -> Session:
    """Load a converted file in this process.

    Raises MeasurementError if the file is missing, of another format, or cannot be loaded; RuntimeNotInstalled.
    """
    path = Path(path)
    if format not in OPENERS:
        raise MeasurementError(
            f"a {format} file cannot run on this machine", f"formats that can: {', '.join(sorted(OPENERS))}"
        )
    if threads < 1:
        raise MeasurementError(f"threads must be 1 or more, got {threads}")
    if not (path.is_dir() if format == "coreml" else path.is_file()):
        raise MeasurementError(f"{path} does not exist", "convert the model first")
    return OPENERS[format](path, threads)


def random_inputs(session: Session, seed: int = 0) -> list[Array]:
    """The fixed input of a measurement: standard normal floats, or integers in [0, 2), from a seed."""
    rng = np.random.default_rng(seed)
    shapes = zip(session.input_shapes, session.input_dtypes, strict=True)
    return [
        (rng.standard_normal(shape) if dtype.startswith("float") else rng.integers(0, 2, shape)).astype(dtype)
        for shape, dtype in shapes
    ]
