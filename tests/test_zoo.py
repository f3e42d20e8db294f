"""Architectures from end to end: group, prune by half, prove, convert, compare with torch."""

import pytest
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import Tensor, nn

import converters
from converters.inspection import check_smaller
from converters.parity import parity
from converters.weights import check_weights
from edgeprune.graph import find_groups, prune_proved, trace

CNNS = [
    "resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "densenet121", "googlenet",
    "vgg11_bn", "mnasnet0_5", "shufflenet_v2_x0_5",
]  # fmt: skip
FAST = {"mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5"}
MOST_MACS = {"shufflenet_v2_x0_5": 0.70, "regnet_y_400mf": 0.60}
ROWS = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CNNS]


def pictures(number: int) -> Tensor:
    """Digits, enlarged to (number, 3, 64, 64): noise would leave the same averages behind whatever the seed."""
    images = torch.tensor(load_digits().images[:number], dtype=torch.float32)[:, None]
    return nn.functional.interpolate(images / 8 - 1, scale_factor=8, mode="bilinear").expand(-1, 3, -1, -1).clone()


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
    return settled(model)


def settled(model: nn.Module) -> nn.Module:
    """Batch-norm statistics of this very network, as after pruning in a run: else its signals fade."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        model(pictures(32))
    return model.eval()


@pytest.mark.parametrize("name", ROWS)
def test_halved_proved_and_converted(name, tmp_path):
    model = generic(name)
    inputs = [(x[None],) for x in pictures(3)]
    traced = trace(model, inputs[0])
    coupling = find_groups(traced)
    counts = {g: min(menu, key=lambda u, m=menu: (abs(u - m[-1] / 2), u)) for g, menu in coupling.menu(8).items()}
    kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in counts}, counts)
    pruned, _, proof = prune_proved(model, traced, coupling, kept)
    settled(pruned)
    assert proof.ok
    assert not proof.frozen
    assert coupling.macs(counts) <= MOST_MACS.get(name, 0.45) * coupling.macs()
    with torch.no_grad():
        assert pruned(pictures(4)).shape == (4, 1000)
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
