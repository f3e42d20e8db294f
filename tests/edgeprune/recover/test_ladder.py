"""PERP: what each rung trains, that it trains nothing else, and that adapters begin and end as the paper says."""

import copy

import pytest
import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.graph import Widths, find_groups, prune, trace
from edgeprune.recover import low_rank
from edgeprune.recover.finetune import finetune
from edgeprune.recover.ladder import RUNGS, climbed, head_of, parameters_on
from edgeprune.recover.layerwise import reconstruct_layers
from edgeprune.sources.batches import Loader, calibration_batches
from edgeprune.sources.data import load_data
from edgeprune.task import Classification

IMAGE = torch.zeros(2, 1, 8, 8)


class Net(nn.Module):
    """conv 1>8 (72 + 8), norm (16), conv 8>16 (1152), norm (32), head 16>10 (160 + 10): 1450 parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(16, 10)  # made first, run last
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.norm_one, self.norm_two = nn.BatchNorm2d(8), nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_two(self.two(self.norm_one(self.one(x)).relu())).relu()
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def digits() -> tuple[Loader, Loader]:
    data = load_data("builtin:digits")
    return Loader(data.train, 128, shuffle=True), Loader(data.val, 500)


# rank of the adapters: conv one has 8 x 9 weights, 72 // (2 * 17) = 2, so A and B have 34; conv two 16 x 72, rank 4
# was asked for, so 352
TRAINED = {"statistics": 0, "norms": 48, "head": 218, "biases": 226, "lora": 226 + 34 + 352, "full": 1450}


@pytest.mark.parametrize("rung", RUNGS)
def test_the_share_of_every_rung(rung: str) -> None:
    model = Net()
    with climbed(model, rung, IMAGE, rank=4) as found:
        assert (found.trained, found.total) == (TRAINED[rung], 1450)
        assert found.share == TRAINED[rung] / 1450


def test_published_shares_of_batch_norms() -> None:
    """ResNet-18 has 9,600 of 11.69 million parameters in batch norms (methods.md section 9)."""
    import torchvision

    with torch.device("meta"):
        model = torchvision.models.resnet18().eval()
    with climbed(model, "norms", torch.zeros(1, 3, 32, 32, device="meta")) as rung:
        assert rung.trained == 9600
        assert round(rung.share, 5) == 0.00082


@pytest.mark.parametrize("rung", ["norms", "head", "biases", "lora", "full"])
def test_training_moves_the_rung_and_nothing_else(rung: str, digits: tuple[Loader, Loader]) -> None:
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with climbed(model, rung, IMAGE, rank=4):
        finetune(model, *digits, Classification(10), epochs=1, lr=0.05)
    assert not any("parametrizations" in name for name, _ in model.named_modules())
    assert all(p.requires_grad for p in model.parameters())
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    expected = parameters_on(model, rung, "head") | ({"one.weight", "two.weight"} if rung == "lora" else set())
    # the bias of a convolution before a batch norm in training mode has gradient zero up to rounding
    assert moved | {"one.bias"} == expected | {"one.bias"}


def test_the_head_is_the_last_layer_to_run() -> None:
    assert head_of(Net(), IMAGE) == "head"
    assert head_of(nn.Sequential(nn.ReLU()), IMAGE) is None


def test_unknown_names_are_told() -> None:
    with pytest.raises(UsageError, match="rung 'bias'"):
        parameters_on(Net(), "bias", None)
    with pytest.raises(UsageError, match="adapter 'qlora'"), climbed(Net(), "lora", IMAGE, variant="qlora"):
        pass


@pytest.mark.parametrize("variant", low_rank.VARIANTS)
def test_adapters_begin_without_effect_and_merge_without_one(variant: str) -> None:
    model = Net()
    with torch.no_grad():
        model.two.weight[:, ::2] = 0.0  # a masked network
    dead = model.two.weight == 0
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = model.eval()(x)
    with climbed(model, "lora", x, variant=variant, rank=4):
        with torch.no_grad():
            torch.testing.assert_close(model(x), plain, rtol=1e-5, atol=1e-6)
        generator = torch.Generator().manual_seed(1)
        for module in model.modules():
            if isinstance(module, low_rank.LowRank):
                with torch.no_grad():
                    module.A.add_(torch.randn(module.A.shape, generator=generator) * 0.5)
                    module.B.add_(torch.randn(module.B.shape, generator=generator) * 0.5)
        with torch.no_grad():
            adapted = model.eval()(x)
            trained = model.train().two.weight.clone()
        model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), adapted, rtol=0, atol=0)
    assert not torch.allclose(adapted, plain, atol=1e-2)
    assert bool((model.two.weight[dead] == 0).all()) == (variant != "lora")
    assert bool((trained[dead] == 0).all()) == (variant in ("mask", "scale")), "lora-prune masks only when merged"


def test_the_forms_of_the_paper_by_hand() -> None:
    """W = [[1, 0], [2, 3]], r = 1, alpha = 2 (s = 2), B = [1, 2], A = [3, 4]: BA = [[3, 4], [6, 8]]."""
    weight = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    expected = {
        "lora": [[7.0, 8.0], [14.0, 19.0]],
        "lora-prune": [[7.0, 0.0], [14.0, 19.0]],
        "mask": [[7.0, 0.0], [14.0, 19.0]],
        "scale": [[3.0, 0.0], [12.0, 24.0]],
    }
    for variant, values in expected.items():
        adapter = low_rank.LowRank(weight, 1, 2.0, variant, torch.Generator()).eval()
        with torch.no_grad():
            adapter.A.copy_(torch.tensor([[3.0, 4.0]]))
            adapter.B.copy_(torch.tensor([[1.0], [2.0]]))
        assert adapter(weight).tolist() == values, variant


def test_a_lower_rank_keeps_the_scale() -> None:
    layer = nn.Linear(8, 8)
    low_rank.attach({"": layer}, rank=16, alpha=32.0)
    adapter = layer.parametrizations["weight"][0]
    assert adapter.A.shape == (2, 8)  # 64 // 32
    assert adapter.scale == 2.0


def halved() -> tuple[nn.Module, nn.Module, Widths]:
    model = Net().eval()
    coupling = find_groups(trace(model, (IMAGE,)))
    kept = {name: torch.arange(0, group.units, 2) for name, group in coupling.prunable.items()}
    pruned, widths = prune(model, coupling, kept)
    return model, pruned.eval(), widths


def test_layers_are_reconstructed_on_the_rung_alone() -> None:
    dense, pruned, widths = halved()
    before = copy.deepcopy(pruned.state_dict())
    inputs = [x for x, _ in calibration_batches(load_data("builtin:digits"), 64, 32)]
    with climbed(pruned, "biases", inputs[0]):
        repaired = {entry.name: entry for entry in reconstruct_layers(dense, pruned, widths, inputs, steps=60, lr=0.01)}
    assert set(repaired) == {"one", "head"}, "conv two has no bias"
    assert repaired["one"].before < 1e-12, "its inputs are the dense network's"
    assert repaired["head"].after < 0.9 * repaired["head"].before
    moved = {name for name, tensor in pruned.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved <= {"one.bias", "head.bias", "head.weight"}  # the head is below the biases


def test_adapters_reconstruct_a_layer() -> None:
    dense, pruned, widths = halved()
    inputs = [x for x, _ in calibration_batches(load_data("builtin:digits"), 64, 32)]
    with climbed(pruned, "lora", inputs[0], rank=4):
        repaired = {e.name: e for e in reconstruct_layers(dense, pruned, widths, inputs, steps=100, lr=0.01)}
    assert repaired["two"].after < 0.9 * repaired["two"].before
