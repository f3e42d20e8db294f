"""Protected channels stay, exactly, whatever allocates the rest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models import resnet18

from edgeprune.allocate.global_ import global_
from edgeprune.graph import Coupling, Protection, SurgeryError, find_groups, protect, trace
from edgeprune.score import score


@pytest.fixture(scope="module")
def coupling() -> Coupling:
    torch.manual_seed(0)
    return find_groups(trace(resnet18().eval(), (torch.randn(1, 3, 64, 64),)))


def test_a_kept_layer_freezes_the_group_of_its_outputs_and_says_why(coupling: Coupling) -> None:
    kept = protect(coupling, Protection(keep=("layer1.0.conv1",)))
    changed = [name for name in coupling.groups if kept.groups[name].frozen != coupling.groups[name].frozen]
    assert changed == ["layer1.0.conv1"]
    assert "layer1.0.conv1" in (kept.groups["layer1.0.conv1"].frozen or "")
    assert "layer1.0.conv1" not in kept.menu()


def test_a_layer_inside_a_residual_chain_keeps_the_whole_chain(coupling: Coupling) -> None:
    kept = protect(coupling, Protection(keep=("layer1.1.conv2",)))
    assert [n for n in kept.groups if kept.groups[n].frozen != coupling.groups[n].frozen] == ["conv1"]


def test_a_module_stands_for_the_layers_inside_and_a_norm_for_its_channels(coupling: Coupling) -> None:
    whole = protect(coupling, Protection(keep=("layer2",)))
    assert {"layer2.0.conv1", "layer2.0.conv2", "layer2.1.conv1"}.isdisjoint(whole.prunable)
    assert "layer3.0.conv1" in whole.prunable
    assert "layer2.0.conv1" not in protect(coupling, Protection(keep=("layer2.0.bn1",))).prunable


def test_numbers_and_shares_raise_the_lower_end_of_the_menu(coupling: Coupling) -> None:
    def least(*keep: str, **more: float) -> int:
        return protect(coupling, Protection(keep=keep, **more)).menu(8)["layer2.0.conv1"][0]  # type: ignore[arg-type]

    assert least() == 8
    assert least("layer2.0.conv1=20") == 24
    assert least("layer2.0.conv1=50%") == 64
    assert least(min_channels=30) == 32
    assert least(max_ratio=0.25) == 96
    assert least(max_ratio=0.0) == 128
    assert least("layer2.0.conv1=20", min_channels=40) == 40


def test_a_least_width_above_dense_leaves_dense(coupling: Coupling) -> None:
    assert protect(coupling, Protection(min_channels=100)).menu(8)["layer1.0.conv1"] == (64,)


@pytest.mark.parametrize("pattern", ["layer9", "conv", "layer1.0.conv1=many", "layer1.0.conv1=-3", "fc=120%"])
def test_what_matches_nothing_or_cannot_be_read_is_an_error(coupling: Coupling, pattern: str) -> None:
    with pytest.raises(SurgeryError) as caught:
        protect(coupling, Protection(keep=(pattern,)))
    assert pattern in str(caught.value)
    assert caught.value.cure


@settings(deadline=None, max_examples=25)
@given(share=st.floats(0.2, 0.9), least=st.integers(1, 60), ratio=st.floats(0.3, 1.0))
def test_global_allocation_honours_them(coupling: Coupling, share: float, least: int, ratio: float) -> None:
    protection = Protection(keep=("layer3.0.conv1", "layer4*=60%"), min_channels=least, max_ratio=ratio)
    kept = protect(coupling, protection)
    scores = score("random", resnet18(), kept, [], seed=1)
    menus = kept.menu(8)
    floor = kept.macs({group: menu[0] for group, menu in menus.items()})
    budget = floor + share * (kept.macs() - floor)
    counts = global_(scores, menus, kept.macs, budget)
    assert kept.macs(counts) <= budget
    assert "layer3.0.conv1" not in counts
    for name, count in counts.items():
        dense = coupling.groups[name].channels
        assert count >= min(least, dense)
        assert count >= round((1 - ratio) * dense - 1e-6)
        if name.startswith("layer4"):
            assert count >= 0.6 * dense
