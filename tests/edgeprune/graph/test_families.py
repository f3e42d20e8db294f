"""All of torchvision: every model grouped, halved in multiples of 8, proved, run, trained and exported again."""

import pytest
import torch
import torchvision

from benchmarks import zoo
from edgeprune.graph import find_groups, trace

FAST = {
    "resnet18", "resnext50_32x4d", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0",
    "regnet_y_400mf", "densenet121", "googlenet", "squeezenet1_1", "shufflenet_v2_x0_5", "convnext_tiny",
    "lraspp_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn",
}  # fmt: skip
MODELS = [(name, kind) for kind in zoo.KINDS for name in zoo.names(kind)] + [("vgg11_bn", "classification")]
ROWS = [pytest.param(*row, marks=() if row[0] in FAST else pytest.mark.slow, id=row[0]) for row in MODELS]


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_model(name: str, kind: str) -> None:
    """`zoo.check` raises if anything does not hold; what it counted is looked at once more."""
    found = zoo.check(name, kind)
    assert found["error"] < 1e-9
    assert found["miswired"] > 1e-3
    assert found["macs"][1] <= zoo.most_macs(name) * found["macs"][0]
    if name.startswith("shufflenet"):
        assert any("equal shares" in reason for reason in found["why"].values())
    elif zoo.most_macs(name) == zoo.most_macs("resnet18"):
        assert found["why"] == {}


def test_resnet18_counts_are_the_published_ones() -> None:
    """1.82 G -> 0.487 G MACs with element-wise work (methods.md 1.2); conv and linear alone: 1.8141 and 0.4831 G."""
    coupling = find_groups(trace(torchvision.models.resnet18(), (torch.randn(1, 3, 224, 224),)))
    half = {name: group.units // 2 for name, group in coupling.prunable.items()}
    assert coupling.macs() == 1_814_073_344
    assert coupling.macs(half) == pytest.approx(0.487e9, rel=0.01)
    assert coupling.params() == 11_689_512
    assert coupling.params(half) == pytest.approx(3.06e6, rel=0.005)
