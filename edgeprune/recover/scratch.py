"""Training from scratch, as PreCropping wants it (methods.md 2.3, step D): fresh weights, then the same loop."""

import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def reinitialise(model: nn.Module, seed: int) -> tuple[str, ...]:
    """Draws all weights anew, in place: Kaiming (fan-out) for convolutions, the module's own rule elsewhere.

    Returns the names of parameters that belong to no module with such a rule; they keep their values.
    """
    untouched = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for path, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, _BatchNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 1 / math.sqrt(module.in_features))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif hasattr(module, "reset_parameters"):
                module.reset_parameters()
            else:
                untouched += [f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False)]
    return tuple(untouched)
