"""Core ML ML program (.mlpackage) for iOS 16 and later: float32, so that the file's weights can be compared exactly.

On Linux the file is written and its weights are compared; nothing is claimed about what it computes on a phone.
"""

from pathlib import Path

import torch
from torch import Tensor, fx

DISTRIBUTIONS = ("coremltools", "torch")


def write(graph_module: fx.GraphModule, example_inputs: tuple[Tensor, ...], path: Path) -> None:
    """Write the exported network to the folder `path`."""
    import coremltools as ct

    program = torch.export.export(graph_module, example_inputs).run_decompositions({})
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(path))
