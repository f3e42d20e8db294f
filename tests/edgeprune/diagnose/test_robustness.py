"""A network is asked on corrupted images: a linear classifier of real digits, whose answers scikit-learn gives too."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from edgeprune.diagnose.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from edgeprune.diagnose.robustness import DRIFT_SEVERITY, ask, classifier_head

MEAN = 0.3


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    found = load_digits()
    images = torch.from_numpy(found.images[:400]).float().unsqueeze(1) / 16
    return images, torch.from_numpy(found.target[:400]).long()


@pytest.fixture(scope="module")
def oracle(digits: tuple[Tensor, Tensor]) -> LogisticRegression:
    images, targets = digits
    return LogisticRegression(max_iter=200).fit((images - MEAN).flatten(1).numpy(), targets.numpy())


@pytest.fixture(scope="module")
def network(oracle: LogisticRegression) -> nn.Module:
    head = nn.Linear(64, 10)
    head.load_state_dict({"weight": torch.from_numpy(oracle.coef_), "bias": torch.from_numpy(oracle.intercept_)})
    return nn.Sequential(nn.Flatten(), head)


def test_accuracies_are_those_of_the_oracle(
    network: nn.Module, oracle: LogisticRegression, digits: tuple[Tensor, Tensor]
) -> None:
    images, targets = digits
    told: list[str] = []
    found = ask(network, images, targets, lambda x: x - MEAN, told.append)
    assert told == list(CORRUPTIONS)
    assert found.accuracy == oracle.score((images - MEAN).flatten(1).numpy(), targets.numpy())
    for name in CORRUPTIONS:
        shown = [(corrupt(images, name, severity) - MEAN).flatten(1).numpy() for severity in SEVERITIES]
        # one image of 400 may sit on a boundary where float32 and float64 differ
        expected = [oracle.score(each, targets.numpy()) for each in shown]
        assert found.corrupted[name] == pytest.approx(expected, abs=1.1 / 400)
    assert found.robustness == pytest.approx(np.mean([v for values in found.corrupted.values() for v in values]))
    assert found.robustness < found.accuracy


def test_geometry_and_drift_are_those_of_the_features(network: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    images, targets = digits
    found = ask(network, images, targets, lambda x: x - MEAN)
    features = (images - MEAN).flatten(1).double().numpy()
    assert found.geometry is not None
    assert np.allclose(found.geometry.norm, np.linalg.norm(features, axis=1), rtol=1e-5)
    assert torch.equal(found.geometry.logit_margin > 0, found.predicted == targets)
    turned = (corrupt(images, "contrast", DRIFT_SEVERITY) - MEAN).flatten(1).double().numpy()
    cosines = (features * turned).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(turned, axis=1)
    assert found.drift is not None
    assert found.drift["contrast"] == pytest.approx(np.arccos(cosines).mean(), rel=1e-3)


def test_a_network_whose_logits_no_linear_layer_makes_has_no_geometry(
    network: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, targets = digits
    assert classifier_head(network, images[:2]) == "1"
    squashed = nn.Sequential(network, nn.Softmax(1))
    assert classifier_head(squashed, images[:2]) is None
    found = ask(squashed, images[:50], targets[:50], lambda x: x - MEAN)
    assert found.geometry is None
    assert found.drift is None
    assert found.to_json()["geometry"] is None
    assert found.accuracy > 0.9
