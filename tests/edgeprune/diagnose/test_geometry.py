"""Norms, angles and margins of hand-made features, and of a network whose logits they must give back."""

import math

import pytest
import torch
from torch import nn

from edgeprune.diagnose.geometry import drift, features_of, geometry
from edgeprune.errors import UsageError
from edgeprune.sources.batches import Loader
from edgeprune.sources.data import load_data


def test_hand_made_features() -> None:
    """Class vectors (1, 0), (0, 2), (-1, 0); features (3, 0) and (0, 4) of class 0, (-1, 1) of class 2."""
    weight, bias = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]), torch.tensor([0.5, 0.0, 0.0])
    features = torch.tensor([[3.0, 0.0], [0.0, 4.0], [-1.0, 1.0]])
    found = geometry(features, weight, bias, torch.tensor([0, 0, 2]))
    right = math.pi / 2
    assert found.norm.tolist() == pytest.approx([3, 4, math.sqrt(2)])
    assert found.own.tolist() == pytest.approx([0, right, right / 2])
    assert found.other.tolist() == pytest.approx([right, 0, right / 2])
    assert found.angular_margin.tolist() == pytest.approx([right, -right, 0])
    assert found.logit_margin.tolist() == pytest.approx([3.5 - 0, 0.5 - 8, 1 - 2])
    assert found.to_mean.tolist() == pytest.approx([2.5, 2.5, 0])  # the mean of class 0 is (1.5, 2)


def test_drift_by_hand() -> None:
    angle, norm = drift(torch.tensor([[1.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 3.0], [2.0, 2.0]]))
    assert angle.tolist() == pytest.approx([math.pi / 2, 0], abs=1e-7)
    assert norm.tolist() == pytest.approx([2, 0])


def test_norms_and_angles_give_the_logits_back() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 10)).train()
    digits = load_data("builtin:digits")
    features, targets = features_of(model, "4", Loader(digits.val, 64))
    assert model.training
    assert torch.equal(targets, digits.val.tensors[1])  # type: ignore[union-attr]
    head = model[4]
    found = geometry(features, head.weight, head.bias, targets)
    with torch.no_grad():
        logits = model.eval()(digits.val.tensors[0])  # type: ignore[union-attr]
    own = head.weight.norm(dim=1)[targets] * found.norm * found.own.cos() + head.bias[targets]
    torch.testing.assert_close(own.float(), logits.gather(1, targets[:, None])[:, 0], rtol=1e-5, atol=1e-5)
    assert torch.equal(found.logit_margin > 0, logits.argmax(1) == targets)


def test_a_head_that_is_no_classifier_is_told() -> None:
    with pytest.raises(UsageError, match="is Conv2d, no linear layer"):
        features_of(nn.Sequential(nn.Conv2d(1, 2, 3)), "0", [])
    per_pixel = nn.Sequential(nn.Linear(8, 2))
    with pytest.raises(UsageError, match=r"takes \(3, 8, 8\) for 3 images"):
        features_of(per_pixel, "0", [(torch.zeros(3, 8, 8), torch.zeros(3, dtype=torch.long))])
