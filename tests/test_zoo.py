"""Architectures from end to end: group, prune by half, prove, convert, compare with torch."""

import pytest
import torch
import torchvision
from torch import nn

import converters
from converters.inspection import check_smaller
from converters.parity import parity
from converters.weights import check_weights
from edgeprune.graph import find_groups, prune_proved, trace

CNNS = [
    "resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "densenet121", "googlenet",
    "vgg11_bn", "mnasnet0_5", "shufflenet_v2_x0_5",
]  # fmt: skip
FAST = {"mobilenet_v3_small"}
MOST_MACS = {"shufflenet_v2_x0_5": 0.70, "regnet_y_400mf": 0.60}
ROWS = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CNNS]


def generic(name: str) -> nn.Module:
    """The network with weights that answer: Kaiming convolutions, batch norms away from the identity."""
    torch.manual_seed(0)
    extra = {"init_weights": True} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, **extra)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.running_var, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                nn.init.uniform_(tensor, low, high)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(16, 3, 64, 64))
    return model.eval()


@pytest.mark.parametrize("name", ROWS)
def test_halved_proved_and_converted(name, tmp_path):
    model = generic(name)
    inputs = [(x[None],) for x in torch.randn(3, 3, 64, 64)]
    traced = trace(model, inputs[0])
    coupling = find_groups(traced)
    counts = {g: min(menu, key=lambda u, m=menu: (abs(u - m[-1] / 2), u)) for g, menu in coupling.menu(8).items()}
    kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in counts}, counts)
    pruned, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert not proof.frozen
    assert coupling.macs(counts) <= MOST_MACS.get(name, 0.45) * coupling.macs()
    with torch.no_grad():
        assert pruned(torch.randn(4, 3, 64, 64)).shape == (4, 1000)
    for fmt in ("litert", "executorch", "coreml"):
        files = {}
        for label, network in (("dense", model), ("pruned", pruned)):
            path = tmp_path / f"{label}{converters.SUFFIXES[fmt]}"
            files[label] = converters.convert(network, inputs[0], fmt, path)
        looked = {label: converters.inspect(file.path, fmt) for label, file in files.items()}
        assert check_smaller(looked["dense"], looked["pruned"]) == []
        check = (
            check_weights(files["pruned"], pruned, inputs[0])
            if fmt == "coreml"
            else parity(files["pruned"], pruned, inputs)
        )
        assert check.passed, f"{fmt}: {check.reason}"
