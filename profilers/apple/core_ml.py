"""Run a Core ML package in this process: on a Mac, through coremltools."""

import importlib
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from profilers.errors import MeasurementError, RuntimeNotInstalled

Array = npt.NDArray[Any]


def core_ml() -> Any:
    """coremltools, where it can run packages. Raises RuntimeNotInstalled elsewhere."""
    if platform.system() != "Darwin":
        raise RuntimeNotInstalled(
            f"Core ML runs on macOS only, and this is {platform.system()}.",
            "edgeprune profile ... --target ios writes a script to take to a Mac.",
        )
    try:
        return importlib.import_module("coremltools")
    except ImportError as error:
        raise RuntimeNotInstalled(f"coremltools cannot be loaded: {error}", "pip install coremltools") from error


class CoreMLSession:
    """A .mlpackage on any processor of this Mac. `threads` is 0: Core ML chooses them. Shapes are the package's own.

    A run is one `MLModel.predict`, with the conversion of its inputs and outputs.
    """

    runtime = "coreml"
    delegate = "all"
    threads = 0

    def __init__(self, path: Path, threads: int) -> None:  # noqa: ARG002 (Core ML has no such option)
        coremltools = core_ml()
        self.runtime_version = platform.mac_ver()[0] or importlib.metadata.version("coremltools")
        try:
            self._model = coremltools.models.MLModel(str(path))
            description = self._model.get_spec().description
        except Exception as error:  # what Core ML throws through coremltools has no class of its own
            raise MeasurementError(f"{path.name} is not a package that Core ML can load: {error}") from error
        self._names = [feature.name for feature in description.input]
        self._outputs = [feature.name for feature in description.output]
        kinds = [_kind(feature) for feature in description.input]
        self.input_shapes = tuple(shape for shape, _ in kinds)
        self.input_dtypes = tuple(dtype for _, dtype in kinds)
        self._feed: dict[str, Any] = {}
        self._found: dict[str, Any] = {}

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Keep the inputs for the runs; pictures, of uint8, as Pillow's. Raises MeasurementError if they do not fit."""
        found = tuple((tuple(x.shape), str(x.dtype)) for x in inputs)
        wanted = tuple(zip(self.input_shapes, self.input_dtypes, strict=True))
        if found != wanted:
            raise MeasurementError(f"the inputs do not fit: the file takes {wanted}, got {found}")
        self._feed = {
            name: _picture(x) if x.dtype == np.uint8 else x for name, x in zip(self._names, inputs, strict=True)
        }

    def invoke(self) -> None:
        """Run once."""
        self._found = self._model.predict(self._feed)

    def outputs(self) -> list[Array]:
        """Of the last run, in the package's order."""
        return [np.array(self._found[name]) for name in self._outputs]

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """set_inputs, invoke, outputs."""
        self.set_inputs(inputs)
        self.invoke()
        return self.outputs()


def _kind(feature: Any) -> tuple[tuple[int, ...], str]:
    """Shape and type of an input; a picture is (H, W) or (H, W, 3) of uint8."""
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        return (image.height, image.width) + (() if image.colorSpace == image.GRAYSCALE else (3,)), "uint8"
    if kind == "multiArrayType":
        array = feature.type.multiArrayType
        return tuple(array.shape), "int32" if array.dataType == array.INT32 else "float32"
    raise MeasurementError(f"input {feature.name} is of kind {kind}: only arrays and pictures can be measured")


def _picture(pixels: Array) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)
