"""Quantise a float32 LiteRT file with ai-edge-quantizer: float16 weights, int8 weights, or int8 throughout.

int8 is post-training: weights symmetric per output channel, activations per tensor over the least and greatest value
seen in calibration. (The library's own moving average cuts off rare large values: 16 dB of signal to noise on the
ResNets of docs/converters.md where least and greatest give 34 dB.) Inputs and outputs stay float32. Source: Jacob et
al. 2018; benchmarks/int8.py compares the alternatives.
"""

from collections.abc import Sequence
from typing import Any

from converters.options import Inputs, Quantize

SIGNATURE = "serving_default"


def quantized(content: bytes, quantize: Quantize, calibration: Sequence[Inputs]) -> bytes:
    """The file's bytes, quantised. `calibration` is in the file's own layout."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipe, every, ranges = RecipeManager(), TFLOperationName.ALL_SUPPORTED, None
    if quantize == "fp16":
        recipe.add_weight_only_config(".*", every, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    elif quantize == "int8-weights":
        recipe.add_weight_only_config(".*", every, num_bits=8)
    else:
        recipe.add_static_config(".*", every, activation_num_bits=8, weight_num_bits=8)
        for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            recipe.add_quantization_config(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
        calibrator = Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
        calibrator.calibrate({SIGNATURE: [_named(sample) for sample in calibration]}, recipe)
        ranges = calibrator.get_model_qsvs()
    quantizer = Quantizer(bytearray(content), recipe.get_quantization_recipe())
    return bytes(quantizer.quantize(ranges).quantized_model)


def _named(sample: Inputs) -> dict[str, Any]:
    return {f"args_{i}": x.numpy() for i, x in enumerate(sample)}
