"""Quantise a float32 ONNX file with onnxruntime's own tool: int8 throughout, as QDQ pairs that any runtime reads.

int8 is post-training: weights symmetric per output channel, activations per tensor over the least and greatest value
seen in calibration. Inputs and outputs stay float32. Source: Jacob et al. 2018.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from converters.options import Inputs


def quantize(source: Path, target: Path, calibration: Sequence[Inputs]) -> None:
    """Write the int8 twin of the file `source`."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantize_file

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._samples = _named(calibration)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._samples, None)

    quantize_file(
        source,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )


def _named(calibration: Sequence[Inputs]) -> Iterator[dict[str, Any]]:
    for sample in calibration:
        yield {f"args_{i}": x.numpy() for i, x in enumerate(sample)}
