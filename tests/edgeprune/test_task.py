"""Tasks and metrics."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.metrics import classification_metrics
from edgeprune.task import Classification, Task, call, load_task, make_task, relative_error

NAMES = ("a", "b", "c")


def test_metrics_by_hand() -> None:
    # a: 3 of 4 right, b: 1 of 1; predicted a 3x (3 right), b 2x (1 right)
    metrics = classification_metrics(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ("a", "b"))
    assert metrics["accuracy"] == pytest.approx(4 / 5)
    assert metrics["balanced_accuracy"] == pytest.approx((3 / 4 + 1) / 2)
    f1_a, f1_b = 2 * 1 * 0.75 / 1.75, 2 * 0.5 * 1 / 1.5
    assert metrics["macro_f1"] == pytest.approx((f1_a + f1_b) / 2)
    assert metrics["per_class_recall"] == [0.75, 1.0]
    assert metrics["n"] == 5


def test_a_class_without_images_is_named_and_not_averaged() -> None:
    metrics = classification_metrics(np.array([0, 0, 1]), np.array([0, 2, 1]), NAMES)
    assert metrics["absent_classes"] == ["c"]
    assert metrics["per_class_recall"] == [0.5, 1.0, None]
    assert metrics["balanced_accuracy"] == pytest.approx(0.75)
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_macro_f1_is_not_accuracy_on_imbalanced_data() -> None:
    metrics = classification_metrics(np.array([0] * 95 + [1] * 5), np.zeros(100, dtype=int), ("a", "b"))
    assert metrics["accuracy"] == 0.95
    assert metrics["balanced_accuracy"] == 0.5
    assert metrics["macro_f1"] == pytest.approx(0.95 * 2 / 1.95 / 2)


@pytest.mark.parametrize("label", [3, -1])
def test_label_out_of_range(label: int) -> None:
    with pytest.raises(UsageError, match=f"label {label} is out of range: there are 3 classes, 0 to 2"):
        classification_metrics(np.array([0, label]), np.array([0, 0]), NAMES)


def test_evaluate_keeps_the_mode_and_counts_everything() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Identity()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = [(torch.eye(3), torch.arange(3)), (torch.eye(3)[:2], torch.tensor([0, 2]))]
    metrics = Classification(3).evaluate(model, batches)
    assert (metrics["accuracy"], metrics["n"]) == (0.8, 5)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_of_another_number_of_classes() -> None:
    with pytest.raises(UsageError, match="answers 4 classes, the data has 3"):
        Classification(3).evaluate(nn.Identity(), [(torch.eye(4), torch.arange(4))])


def test_divergence_is_kl_from_the_reference() -> None:
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert Classification(2).divergence(q.log(), p.log()).item() == pytest.approx(expected, rel=1e-5)
    assert Classification(2).divergence(q.log(), q.log()).item() == pytest.approx(0, abs=1e-7)


def test_relative_error_by_hand_and_through_structures() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0])
    assert relative_error(a, b).item() == pytest.approx((4 / 2) / (17 / 2))
    assert relative_error({"out": a, "aux": (b, [b])}, {"out": b, "aux": (b, [b])}).item() == pytest.approx(4 / 17 / 3)
    with pytest.raises(UsageError, match="no floating-point tensor"):
        relative_error("text", "text")


def test_call_unpacks_several_inputs() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a - b

    assert call(Two(), (torch.tensor(3), torch.tensor(1))) == 2
    assert call(nn.Identity(), torch.tensor(3)) == 3


def test_functions_make_a_task_whose_first_metric_is_primary() -> None:
    task = make_task(lambda out, y: (out - y).square().mean(), lambda *_: {"iou": 0.5, "dice": 0.6})
    assert isinstance(task, Task)
    assert task.evaluate(nn.Identity(), []) == {"iou": 0.5, "dice": 0.6}
    assert task.primary == "iou"
    number = make_task(lambda out, _: out.sum(), lambda *_: 0.25)
    assert number.evaluate(nn.Identity(), []) == {"score": 0.25}


def test_a_loss_that_is_no_scalar() -> None:
    with pytest.raises(UsageError, match="the loss returned float"):
        make_task(lambda *_: 1.0, lambda *_: 0.0).loss(torch.zeros(1), torch.zeros(1))


def test_load_task_fills_in_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text(
        "class Task:\n"
        "    primary = 'iou'\n"
        "    def loss(self, outputs, targets):\n        return (outputs - targets).abs().mean()\n"
        "    def evaluate(self, model, loader):\n        return {'other': 1.0, 'iou': 0.5}\n"
        "class Half:\n    def loss(self, outputs, targets):\n        return outputs\n"
    )
    task = load_task(f"{path}:Task")
    assert (task.primary, task.evaluate(nn.Identity(), [])["iou"]) == ("iou", 0.5)
    assert task.divergence(torch.ones(2), torch.ones(2)).item() == 0
    with pytest.raises(UsageError, match="has no evaluate"):
        load_task(f"{path}:Half")
