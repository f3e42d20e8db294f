"""Densities against the check values of reference/methods.md 2.3, 17.4 and the properties of 17.5."""

import pytest
import torch
from torch import Tensor, nn

from edgeprune.allocate.closed_form import water_fill, water_fill_two
from edgeprune.allocate.erk import erk
from edgeprune.allocate.grasp import TEMPERATURE, grasp
from edgeprune.allocate.masks import densities_of, global_mask
from edgeprune.allocate.snip import snip
from edgeprune.allocate.synflow import flow_scores, linearised, synflow
from edgeprune.task import Classification

KINDS = {"stem": (1, 16, 3), "a": (6, 16, 16), "ab": (1, 32, 16), "b": (5, 32, 32), "bc": (1, 64, 32), "c": (5, 64, 64)}
SHAPES = {f"{kind}{i}": (c_out, c_in, 3, 3) for kind, (n, c_out, c_in) in KINDS.items() for i in range(n)}
SHAPES["fc0"] = (10, 64)
SIZES = {name: float(torch.Size(shape).numel()) for name, shape in SHAPES.items()}


def check(found: dict[str, float], expected: tuple[float, ...], digits: float) -> None:
    for kind, value in zip((*KINDS, "fc"), expected, strict=True):
        assert found[f"{kind}0"] == pytest.approx(value, abs=digits)


def test_resnet20_has_the_weights_of_the_check_values() -> None:
    assert sum(SIZES.values()) == 268_336


def test_erk_check_values() -> None:
    check(erk(SHAPES, 0.1), (1, 0.303, 0.215, 0.139, 0.102, 0.067, 1), 5e-4)
    check(erk(SHAPES, 0.2), (1, 0.618, 0.439, 0.285, 0.207, 0.136, 1), 5e-4)


@pytest.mark.parametrize("density", [0.05, 0.1, 0.5, 0.9, 1.0])
def test_densities_are_exact_and_at_most_one(density: float) -> None:
    for found in (erk(SHAPES, density), water_fill(SIZES, density * sum(SIZES.values()))):
        assert max(found.values()) <= 1.0 + 1e-12
        assert sum(SIZES[n] * p for n, p in found.items()) == pytest.approx(density * sum(SIZES.values()), rel=1e-6)


def test_water_filling_check_values() -> None:
    low = water_fill(SIZES, 0.1 * sum(SIZES.values()))
    check(low, (1, 0.621, 0.311, 0.155, 0.078, 0.039, 1), 5e-4)
    assert low["a0"] * SIZES["a0"] == pytest.approx(1431.2, abs=0.1)
    high = water_fill(SIZES, 0.5 * sum(SIZES.values()))
    check(high, (1, 1, 1, 1, 0.62, 0.31, 1), 5e-3)
    assert high["c0"] * SIZES["c0"] == pytest.approx(11430.7, abs=0.1)


def test_two_budgets_bind_both_or_the_stricter() -> None:
    first = {"a": 10.0, "b": 40.0, "c": 100.0}
    second = {"a": 100.0, "b": 40.0, "c": 10.0}
    both = water_fill_two(first, second, 60.0, 60.0)
    assert sum(first[n] * both[n] for n in first) == pytest.approx(60.0, rel=1e-6)
    assert sum(second[n] * both[n] for n in second) == pytest.approx(60.0, rel=1e-6)
    one = water_fill_two(first, second, 60.0, 1e9)
    assert one == pytest.approx(water_fill(first, 60.0), rel=1e-6)


def chain() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for c_in, c_out in ((3, 8), (8, 16), (16, 12)):
        layers += [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4, bias=False))


NAMES = ["0.weight", "2.weight", "4.weight", "8.weight"]


def batch() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(16, 3, 8, 8, generator=generator), torch.arange(16) % 4)]


def test_synflow_conserves_the_flow_through_layers_and_neurons() -> None:
    network = linearised(chain())
    weights = {name: network.get_parameter(name) for name in NAMES}
    scores = flow_scores(network, weights, torch.ones(1, 3, 8, 8, dtype=torch.float64))
    totals = [float(values.sum()) for values in scores.values()]
    assert totals == pytest.approx([totals[0]] * 4, rel=1e-9)
    incoming, outgoing = scores["2.weight"].sum((1, 2, 3)), scores["4.weight"].sum((0, 2, 3))
    assert torch.allclose(incoming, outgoing, rtol=1e-9)


def test_synflow_meets_the_density_and_keeps_every_layer() -> None:
    model = chain()
    before = {n: p.clone() for n, p in model.named_parameters()}
    kept = synflow(model, NAMES, (torch.randn(2, 3, 8, 8),), 0.05)
    entries = sum(mask.numel() for mask in kept.values())
    assert sum(int(mask.sum()) for mask in kept.values()) == pytest.approx(0.05 * entries, abs=2)
    assert min(densities_of(kept).values()) > 0
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())


def test_snip_is_the_derivative_by_a_mask() -> None:
    model, task, batches = chain().double(), Classification(4, list("abcd")), batch()
    batches = [(x.double(), y) for x, y in batches]
    scores = snip(model, NAMES, batches, task)
    with torch.no_grad():
        weight = model.get_parameter("2.weight")
        channel, step = weight[3].clone(), 1e-6

        def loss(scale: float) -> float:
            weight[3] = scale * channel
            return float(task.loss(model(batches[0][0]), batches[0][1]))

        derivative = (loss(1 + step) - loss(1 - step)) / (2 * step)
        weight[3] = channel
    x, y = batches[0]
    weights = [model.get_parameter(n) for n in NAMES]
    signed = [
        (g * w).detach() for g, w in zip(torch.autograd.grad(task.loss(model(x), y), weights), weights, strict=True)
    ]
    assert float(signed[1][3].sum()) == pytest.approx(derivative, rel=1e-5)
    whole = sum(float(values.abs().sum()) for values in signed)
    assert torch.allclose(scores["2.weight"], signed[1].abs() / whole)
    assert sum(float(values.sum()) for values in scores.values()) == pytest.approx(1.0)


def test_grasp_is_the_derivative_of_the_gradient_norm() -> None:
    model, task = chain().double(), Classification(4, list("abcd"))
    x, y = batch()[0][0].double(), batch()[0][1]
    weights = [model.get_parameter(n) for n in NAMES]

    def flow() -> float:
        gradient = torch.autograd.grad(task.loss(model(x) / TEMPERATURE, y), weights)
        return 0.5 * sum(float((g * g).sum()) for g in gradient)

    step, originals = 1e-4, [w.detach().clone() for w in weights]
    values = []
    for scale in (1 + step, 1 - step):
        with torch.no_grad():
            for w, original in zip(weights, originals, strict=True):
                w.copy_(scale * original)
        values.append(flow())
    with torch.no_grad():
        for w, original in zip(weights, originals, strict=True):
            w.copy_(original)
    derivative = (values[0] - values[1]) / (2 * step)
    scores = grasp(model, NAMES, [(x, y)], task)
    total = sum(float(s.sum()) for s in scores.values())
    assert total == pytest.approx(derivative / (abs(derivative) + 1e-10), rel=1e-3)


def test_global_mask_keeps_the_highest() -> None:
    masks = global_mask({"a": torch.tensor([1.0, 5.0]), "b": torch.tensor([3.0, 4.0])}, 0.5)
    assert masks["a"].tolist() == [False, True]
    assert masks["b"].tolist() == [False, True]
