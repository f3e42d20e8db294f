"""LiteRT (.tflite) through litert-torch: float32, the input layout the network was trained with."""

from pathlib import Path

from torch import Tensor, fx

from converters.options import Options

DISTRIBUTIONS = ("litert-torch", "ai-edge-litert", "torch")


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path, options: Options) -> None:
    """Write the exported network to `path`."""
    import litert_torch

    path.write_bytes(litert_torch.convert(graph_module, example_inputs).model_content())
