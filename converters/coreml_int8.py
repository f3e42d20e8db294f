"""int8 activations and weights in an ML program (iOS 17 and later), by coremltools' own post-training passes.

coremltools asks the Core ML runtime for every value of the program on the calibration inputs, and that runtime exists
on macOS only. The range of a float value needs no such exactness: here the reference interpreter of `converters.mil`
answers in its place, on every system alike.
"""

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from converters.contents import Array
from converters.errors import ConversionError, NotInterpreted
from converters.mil import MilSession
from converters.options import Inputs, Options


def quantize_activations(model: Any, options: Options) -> Any:
    """An MLModel whose convolutions, linear layers, poolings and additions read int8, per tensor, over the least and
    the greatest value that `options.calibration` shows. `model` is float, with inputs args_0, args_1 and so on.

    Raises `ConversionError` for a program that the reference interpreter cannot run.
    """
    import coremltools.optimize.coreml as cto
    from coremltools.optimize.coreml.experimental._model_debugger import ModelDebugger

    try:
        ranges = _ranges(model, options)
    except NotInterpreted as gap:
        raise ConversionError(
            f"coreml int8 needs the range of every value, and {gap.message}", "Use --quantize int8-weights."
        ) from gap
    # coremltools keeps the range of the last sample alone: it gets one, that holds the ends of all.
    sample = {name: ends for name, ends in ranges.items() if name.startswith("args_")}
    per_tensor = cto.OpLinearQuantizerConfig(mode="linear")
    with patch.object(ModelDebugger, "predict_intermediate_outputs", lambda *_: ranges):
        return cto.linear_quantize_activations(model, cto.OptimizationConfig(global_config=per_tensor), [sample])


def _ranges(model: Any, options: Options) -> dict[str, Array]:
    """The least and the greatest value of every float tensor of the program, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.mlpackage"
        model.save(str(path))
        session = MilSession(path)
    ends: dict[str, Array] = {}
    for sample in options.calibration:
        for name, value in session.values([x.numpy() for x in _as_taken(sample, options)]).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                found = np.array([value.min().item(), value.max().item()], np.float32)
                last = ends.get(name, found)
                ends[name] = np.array([min(last[0], found[0]), max(last[1], found[1])], np.float32)
    return ends


def _as_taken(sample: Inputs, options: Options) -> Inputs:
    """The file's own inputs: pixels of 0 to 255 where it takes an image."""
    if options.image is None:
        return sample
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in options.image)
    return (255 * (sample[0] * std + mean), *sample[1:])
