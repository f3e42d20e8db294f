"""Scores of images against their definitions, and training on what is kept."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from edgeprune.errors import UsageError
from edgeprune.recipe import Recovery
from edgeprune.recover.difficulty import difficulty, el2n, forgotten, grand
from edgeprune.recover.distill import distillation_loss
from edgeprune.recover.finetune import Epoch, FinetuneResult
from edgeprune.recover.kept_data import KeptData
from edgeprune.recover.work import Work
from edgeprune.sources.batches import Loader
from edgeprune.sources.data import load_data
from edgeprune.task import Classification


class Table(nn.Module):
    """Answers the logits that it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_el2n_by_hand() -> None:
    """Softmax (0.75, 0.25) against class 0: (0.25^2 + 0.25^2)^0.5; against class 1: 0.75 * 2^0.5."""
    logits = torch.log(torch.tensor([[3.0, 1.0], [3.0, 1.0]]))
    found = el2n(Table(), [(logits, torch.tensor([0, 1]))])
    assert found.tolist() == pytest.approx([0.25 * math.sqrt(2), 0.75 * math.sqrt(2)])


def test_grand_is_the_norm_of_each_images_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 10))
    digits = load_data("builtin:digits").train
    x, y = digits.tensors[0][:40], digits.tensors[1][:40]  # type: ignore[union-attr]
    found = grand(model, [(x[:35], y[:35]), (x[35:], y[35:])])
    for i in range(40):
        slopes = torch.autograd.grad(
            F.cross_entropy(model.eval()(x[i : i + 1]), y[i : i + 1]), list(model.parameters())
        )
        assert float(found[i]) == pytest.approx(float(torch.cat([s.flatten() for s in slopes]).norm()), rel=1e-4)


def test_forgetting_by_hand() -> None:
    right = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0]]).bool()
    assert forgotten(right).tolist() == [2, 1, 0, math.inf]


@pytest.mark.parametrize("kind", ["el2n", "grand", "forgetting"])
def test_wrong_labels_are_the_hardest_images(kind: str) -> None:
    """Ten of 300 digits get a wrong label: their mean rank is far above the others'."""
    digits = load_data("builtin:digits").train
    x, y = digits.tensors[0][:300], digits.tensors[1][:300].clone()  # type: ignore[union-attr]
    y[:10] = (y[:10] + 5) % 10
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = difficulty(kind, model, TensorDataset(x, y), epochs=12, nets=2, seed=0)
    ranks = scores.nan_to_num(posinf=1e6).argsort(stable=True).argsort().float()
    assert float(ranks[:10].mean()) > 240
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(UsageError, match="score 'herding'"):
        difficulty("herding", model, TensorDataset(x, y), epochs=1, nets=1, seed=0)


def work(epochs: int, seen: dict[str, Any]) -> Work:
    data = load_data("builtin:digits")

    class Recorded(Work):
        def finetune(self, _: nn.Module, **changes: Any) -> FinetuneResult:
            seen.update(changes)
            return FinetuneResult(0, 0.5, (Epoch(0, None, {"accuracy": 0.5}),), 0.0)

    empty: dict[str, Any] = {}
    return Recorded(
        nn.Identity(),
        None,
        empty,
        None,
        None,
        data,
        Classification(10),
        [],
        [],
        (),
        Recovery(epochs=epochs),  # type: ignore[arg-type]
    )


def test_the_recovery_trains_on_the_kept_images_alone() -> None:
    seen: dict[str, Any] = {}
    outcome = KeptData(fraction=0.25)(work(4, seen), nn.Identity())
    n = len(load_data("builtin:digits").train)  # type: ignore[arg-type]
    loader: Loader = seen["train_loader"]
    assert len(loader.dataset) == outcome.facts["images_kept"] == round(n / 4)
    assert (seen["epochs"], outcome.facts["chosen_by"]) == (4, "random")
    KeptData(fraction=0.25, equal="iterations")(work(4, seen), nn.Identity())
    assert seen["epochs"] == 16


@pytest.mark.parametrize(
    "settings", [{"fraction": 0}, {"by": "herding"}, {"equal": "images"}, {"floor": -1}, {"nets": 0}]
)
def test_settings_are_checked_before_any_work(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        KeptData(**settings)


def test_alpha_0_is_plain_cross_entropy_and_equal_outputs_cost_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(16, 10, generator=generator, requires_grad=True)
    teacher, targets = torch.randn(16, 10, generator=generator), torch.randint(10, (16,), generator=generator)
    task = Classification(10)
    assert torch.equal(distillation_loss(task, own, teacher, targets, 0.0, 4.0), F.cross_entropy(own, targets))
    same = distillation_loss(task, own, own.detach(), targets, 1.0, 4.0)
    (slope,) = torch.autograd.grad(same, own)
    assert abs(same.item()) < 1e-6
    assert float(slope.abs().max()) < 1e-6


def test_tau_squared_keeps_the_gradient_of_its_size() -> None:
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(64, 10, generator=generator, requires_grad=True)
    teacher, targets = torch.randn(64, 10, generator=generator), torch.zeros(64, dtype=torch.long)
    norms = []
    for tau in (2.0, 4.0, 8.0):
        loss = distillation_loss(Classification(10), own, teacher, targets, 1.0, tau)
        norms.append(float(torch.autograd.grad(loss, own)[0].norm()))
    assert max(norms) / min(norms) < 1.3
