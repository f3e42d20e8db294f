"""LiteRT (.tflite) through litert-torch: float32, float16 or int8, images as (N, C, H, W) or (N, H, W, C)."""

from pathlib import Path

from torch import Tensor, fx, nn

from converters.global_mean import keep_mean_axes
from converters.litert_quantize import quantized
from converters.options import Inputs, Options

DISTRIBUTIONS = ("litert-torch", "ai-edge-litert", "ai-edge-quantizer", "torch")


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to `path`."""
    import litert_torch

    keep_mean_axes(graph_module)
    module: nn.Module = graph_module
    calibration = options.calibration
    if options.nhwc:
        images = [i for i, x in enumerate(example_inputs) if x.ndim == 4]
        module = litert_torch.to_channel_last_io(graph_module, args=images)
        module.training = False  # .eval() is refused by exported graphs
        example_inputs, calibration = channels_last(example_inputs), [channels_last(x) for x in calibration]
    content = litert_torch.convert(module, example_inputs).model_content()
    if options.quantize != "none":
        content = quantized(content, options.quantize, calibration)
    path.write_bytes(content)


def channels_last(inputs: Inputs) -> Inputs:
    """Images as (N, H, W, C); other tensors as they are."""
    return tuple(x.permute(0, 2, 3, 1).contiguous() if x.ndim == 4 else x for x in inputs)
