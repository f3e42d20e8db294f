"""Run a converted file on this machine, whatever its format."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.artifact import Artifact, Format
from converters.contents import Array
from converters.errors import InspectionError, MissingExtra


class Session(Protocol):
    """A loaded file. `runtime` names who computes."""

    runtime: str

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs, in the order the network returns them, for inputs in the order it takes them."""


class _OnnxSession:
    runtime = "onnxruntime"

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtra("Running ONNX needs onnxruntime", 'pip install "edgeprune[onnx]"') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes are not importable by a stable name
            raise InspectionError(
                f"onnxruntime cannot load {path.name}: {error}", "Convert the model again."
            ) from error
        self._names = [value.name for value in self._session.get_inputs()]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        outputs: list[Array] = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        return outputs


def _open_dynamic_executorch(path: Path, threads: int) -> Session:
    """ExecuTorch itself refuses what exceeds the bounds of a file whose shapes are open; the profiler takes no such."""
    from profilers.runtimes import ExecuTorchSession

    class Dynamic(ExecuTorchSession):
        def _check(self, inputs: Sequence[Array]) -> None:
            pass

    return Dynamic(path, threads)


def _open_mobile(format: Format) -> Callable[[Path, int], Session]:
    def open_it(path: Path, threads: int) -> Session:
        from profilers.runtimes import open_session

        return open_session(path, format, threads)

    return open_it


class _CoreMLSession:
    runtime = "Core ML"

    def __init__(self, path: Path) -> None:
        import coremltools as ct

        self._model: Any = ct.models.MLModel(str(path))
        description = self._model.get_spec().description
        self._images = {f.name for f in description.input if f.type.WhichOneof("Type") == "imageType"}
        self._inputs = [feature.name for feature in description.input]
        self._outputs = [feature.name for feature in description.output]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        pairs = zip(self._inputs, inputs, strict=True)
        found = self._model.predict({name: _picture(x) if name in self._images else x for name, x in pairs})
        return [np.asarray(found[name]) for name in self._outputs]


def _picture(pixels: Array) -> Any:
    """(1, 1 or 3, H, W) of 0 to 255 as an image."""
    from PIL import Image

    rounded = np.round(pixels[0]).clip(0, 255).astype(np.uint8)
    return Image.fromarray(rounded[0] if len(rounded) == 1 else rounded.transpose(1, 2, 0))


def _open_coreml(path: Path, _threads: int) -> Session:
    """Core ML itself on a Mac, elsewhere the reference interpreter."""
    from converters.mil import MilSession

    return _CoreMLSession(path) if sys.platform == "darwin" else MilSession(path)


_OPENERS: dict[Format, Callable[[Path, int], Session]] = {
    "litert": _open_mobile("litert"),
    "executorch": _open_mobile("executorch"),
    "coreml": _open_coreml,
    "onnx": _OnnxSession,
}


def open_artifact(artifact: Artifact, threads: int = 1) -> Session:
    """Load the file in this process. Off a Mac a Core ML file runs in the reference interpreter of `converters.mil`.

    Raises InspectionError or MeasurementError if the runtime refuses the file, MissingExtra or RuntimeNotInstalled if
    there is none.
    """
    if artifact.format == "executorch" and any(spec.ranges for spec in artifact.inputs):
        return _open_dynamic_executorch(artifact.path, threads)
    return _OPENERS[artifact.format](artifact.path, threads)
