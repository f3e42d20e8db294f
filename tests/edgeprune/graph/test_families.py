"""Every torchvision family groups, is pruned by half in multiples of 8, is proved, and counts what it has."""

import pytest
import torch
import torchvision

from edgeprune.graph import find_groups, prune_proved, trace

FAST = ["resnet18", "shufflenet_v2_x1_0"]
SLOW = ["mobilenet_v3_small", "mnasnet0_5"]
SLOW += ["mobilenet_v2", "efficientnet_b0", "regnet_y_400mf", "regnet_x_400mf", "resnext50_32x4d", "densenet121"]
SLOW += ["googlenet", "vgg11_bn", "convnext_tiny"]


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_family_is_halved_and_proved(name: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=10)
    x = torch.randn(1, 3, 64, 64)
    traced = trace(model, (x,))
    coupling = find_groups(traced)
    menu = coupling.menu(8)
    counts = {g: min(steps, key=lambda u, n=coupling.groups[g].units: abs(u - n / 2)) for g, steps in menu.items()}
    kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in menu}, counts)
    pruned, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert proof.frozen == {}
    assert proof.max_rel_error < 1e-9
    assert proof.miswired_rel_change > 1e-3
    assert type(pruned) is type(model)
    assert coupling.params() == sum(p.numel() for p in model.parameters())
    assert coupling.params(counts) == sum(p.numel() for p in pruned.parameters())
    again = find_groups(trace(pruned, (x,)))
    assert again.macs() == coupling.macs(counts) < 0.6 * coupling.macs()
    if name == "shufflenet_v2_x1_0":
        assert any("equal shares" in (group.frozen or "") for group in coupling.groups.values())
    if name == "googlenet":
        pruned.train()(torch.randn(2, 3, 64, 64))


def test_resnet18_counts_are_the_published_ones() -> None:
    """1.82 G -> 0.487 G MACs with element-wise work (methods.md 1.2); conv and linear alone: 1.8141 and 0.4831 G."""
    coupling = find_groups(trace(torchvision.models.resnet18(), (torch.randn(1, 3, 224, 224),)))
    half = {name: group.units // 2 for name, group in coupling.prunable.items()}
    assert coupling.macs() == 1_814_073_344
    assert coupling.macs(half) == pytest.approx(0.487e9, rel=0.01)
    assert coupling.params() == 11_689_512
    assert coupling.params(half) == pytest.approx(3.06e6, rel=0.005)
