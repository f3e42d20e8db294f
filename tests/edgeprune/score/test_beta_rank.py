"""Beta-Rank: tests T1 to T4 of the method's fact sheet, the receptive field against unfold, and the whole criterion."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.score.beta_rank import by_class, filter_scores, layer_scores
from edgeprune.score.deviation import Deviations, Scored, patch_means

DIRECTIONS = ("code", "paper")


def scores(layer: Scored, *batches: Tensor, direction: str = "code") -> Tensor:
    seen = Deviations()
    with torch.no_grad():
        for inputs in batches:
            seen.update(layer, inputs, layer(inputs))
    return filter_scores(layer, [seen], direction)


def images(*shape: int, seed: int = 0) -> Tensor:
    """Correlated channels, positions that differ: nothing here is white noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, generator=generator)
    return F.avg_pool2d(noise + 0.5 * noise.roll(1, 1), 3, 1, 1).relu() * torch.linspace(0.5, 2, shape[3])


def by_unfold(conv: nn.Conv2d, x: Tensor, direction: str) -> Tensor:
    """The definition, patch by patch and filter by filter."""
    with torch.no_grad():
        out = conv(x).double().flatten(2)
        patches = F.unfold(x.double(), conv.kernel_size, conv.dilation, conv.padding, conv.stride)
        per_channel = patches.unflatten(1, (x.shape[1], -1))
        result = []
        for k in range(conv.out_channels):
            width = x.shape[1] // conv.groups
            first = k // (conv.out_channels // conv.groups) * width
            ratios = []
            for position in range(out.shape[2]):
                a = out[:, k, position].numpy().std()
                b = per_channel[:, first : first + width, :, position].numpy().std()
                ratios.append(a / b if direction == "code" else b / a)
            result.append(conv.weight[k].double().abs().sum().item() * np.mean(ratios))
    return torch.tensor(result)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (3, 1), "dilation": 2, "padding": 0},
        {"kernel_size": 1},
        {"kernel_size": 3, "groups": 6, "padding": 1},
        {"kernel_size": 3, "groups": 3, "padding": 1},
    ],
)
def test_equals_the_definition(settings: dict, direction: str) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(6, 12, **settings), images(5, 6, 8, 8)
    assert torch.allclose(scores(conv, x, direction=direction), by_unfold(conv, x, direction), rtol=1e-4)


def test_t1_scaling_a_filter_by_3_is_9_in_the_code_and_1_in_the_paper() -> None:
    conv, x = nn.Conv2d(4, 8, 3, padding=1, bias=False), images(16, 4, 8, 8)
    before = {d: scores(conv, x, direction=d)[2].item() for d in DIRECTIONS}
    conv.weight.data[2] *= 3
    assert scores(conv, x, direction="code")[2].item() / before["code"] == pytest.approx(9, rel=1e-4)
    assert scores(conv, x, direction="paper")[2].item() / before["paper"] == pytest.approx(1, rel=1e-4)


def test_t2_one_weight_is_its_square_in_the_code_and_1_in_the_paper() -> None:
    conv = nn.Conv2d(1, 5, 1, bias=True)
    x = torch.randn(50, 1, 4, 4)
    weights = conv.weight.detach().flatten().abs().double()
    assert torch.allclose(scores(conv, x, direction="code"), weights**2, rtol=1e-4)
    assert torch.allclose(scores(conv, x, direction="paper"), torch.ones(5).double(), rtol=1e-4)


def test_t3_order_of_the_input_channels_does_not_matter() -> None:
    conv, x = nn.Conv2d(6, 8, 3, padding=1), images(8, 6, 8, 8)
    expected, order = scores(conv, x), torch.randperm(6)
    conv.weight.data = conv.weight.data[:, order]
    assert torch.allclose(scores(conv, x[:, order]), expected, rtol=1e-5)


def test_order_of_the_filters_moves_the_scores_along() -> None:
    conv, x, order = nn.Conv2d(6, 8, 3, bias=False), images(8, 6, 8, 8), torch.randperm(8)
    expected = scores(conv, x)
    conv.weight.data = conv.weight.data[order]
    assert torch.allclose(scores(conv, x), expected[order], rtol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_t4_two_batches_are_one(direction: str) -> None:
    conv, x = nn.Conv2d(4, 8, 3, padding=1), images(20, 4, 8, 8)
    one = scores(conv, x, direction=direction)
    assert torch.allclose(scores(conv, x[:7], x[7:], direction=direction), one, rtol=1e-5)
    assert not torch.allclose(scores(conv, x[7:], direction=direction), one, rtol=1e-3)


def test_near_l1_on_white_noise_and_not_on_the_papers_direction() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(16, 64, 3, padding=1, bias=False), torch.randn(16, 16, 16, 16)
    conv.weight.data *= torch.linspace(0.5, 2, 64).view(-1, 1, 1, 1)
    norms = conv.weight.detach().abs().sum((1, 2, 3))
    assert spearmanr(scores(conv, x, direction="code"), norms).statistic > 0.9
    assert abs(spearmanr(scores(conv, x, direction="paper"), norms).statistic) < 0.5


def test_correlated_inputs_make_it_differ_from_l1() -> None:
    # Two identical input channels: weights (1, 1) add up, weights (1, -1) cancel; the L1 norms are equal.
    conv, x = nn.Conv2d(2, 2, 1, bias=False), torch.randn(64, 1, 4, 4).repeat(1, 2, 1, 1)
    conv.weight.data = torch.tensor([[1.0, 1.0], [1.0, -0.9]]).view(2, 2, 1, 1)
    together, against = scores(conv, x).tolist()
    assert together == pytest.approx(2 * 2, rel=1e-3)
    assert against == pytest.approx(1.9 * 0.1, rel=1e-3)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_dead_filter_is_last_in_both_directions(direction: str) -> None:
    conv, x = nn.Conv2d(4, 8, 3), images(8, 4, 8, 8)
    conv.weight.data[5] *= 1e-6
    assert scores(conv, x, direction=direction).argmin() == 5
    conv.weight.data[5] = 0
    assert scores(conv, x, direction=direction)[5] == 0


def test_positions_without_variation_are_left_out() -> None:
    conv, x = nn.Conv2d(3, 4, 1), images(16, 3, 6, 6)
    expected = scores(conv, x[..., :3])
    x[..., 3:] = 1.0
    assert torch.allclose(scores(conv, x), expected, rtol=1e-5)
    assert scores(conv, torch.ones(16, 3, 6, 6)).tolist() == [0.0] * 4


def test_linear_is_a_1x1_convolution() -> None:
    linear, x = nn.Linear(6, 5), images(16, 6, 3, 3)
    conv = nn.Conv2d(6, 5, 1)
    conv.weight.data, conv.bias.data = linear.weight.data.view(5, 6, 1, 1), linear.bias.data
    expected = scores(conv, x)
    assert torch.allclose(scores(linear, x.flatten(2).transpose(1, 2)), expected, rtol=1e-5)
    assert torch.allclose(scores(linear, x[:, :, 0, 0]), scores(conv, x[:, :, :1, :1]), rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_patches_are_what_each_output_sees(groups: int) -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=groups)
    x = images(3, 4, 5, 5)
    means = patch_means(layer, x)
    assert means.shape == (3, groups, 9, 9)
    for row, column in ((0, 0), (1, 1), (4, 3)):
        pulse = torch.zeros(1, 6, 9, 9)
        pulse[:, :, row, column] = 1
        probe = x.clone().requires_grad_()
        reached = torch.autograd.grad((layer(probe)[:1] * pulse).sum(), probe)[0][0].abs().sum(0) > 0
        width = 4 // groups
        for group in range(groups):
            expected = x[:, group * width : (group + 1) * width, reached].mean((1, 2)).double()
            assert torch.allclose(means[:, group, row, column], expected, atol=1e-6)
    assert scores(layer, x).shape == (6,)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1))


def test_hooks_see_the_raw_output_and_leave_nothing_behind() -> None:
    model, x = net(), images(8, 2, 6, 6)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = layer_scores(model, {"0.weight": model[0], "3.weight": model[3]}, [(x, torch.zeros(8))], "code")
    assert torch.allclose(found["0.weight"], scores(model[0], x), rtol=1e-5)
    model.eval()
    inner = model[:3](x).detach()
    assert torch.allclose(found["3.weight"], scores(model[3], inner), rtol=1e-5)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_layer_that_does_not_run_is_left_out() -> None:
    model, head = net(), nn.Conv2d(4, 2, 1)
    found = layer_scores(model, {"0.weight": model[0], "head": head}, [(images(4, 2, 6, 6), torch.zeros(4))], "code")
    assert list(found) == ["0.weight"]


def test_one_image_is_not_enough() -> None:
    model = net()
    with pytest.raises(UsageError, match="at least two images, not 1"):
        layer_scores(model, {"0.weight": model[0]}, [(images(1, 2, 6, 6), torch.zeros(1))], "code")


def test_batches_by_class() -> None:
    x, y = torch.arange(7.0).view(7, 1), torch.tensor([1, 0, 1, 0, 2, 1, 0])
    parts = by_class([(x[:4], y[:4]), (x[4:], y[4:])])
    values = [torch.cat([inputs for inputs, _ in part]).flatten().tolist() for part in parts]
    assert values == [[1, 3, 6], [0, 2, 5]]  # class 2 has a single image
    with pytest.raises(UsageError, match="class labels"):
        by_class([(x, x)])
