"""Corruptions of real digits: known constants, clean at severity 0, worse with every severity, the same every time."""

import pytest
import torch
from sklearn.datasets import load_digits

from edgeprune.diagnose.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from edgeprune.errors import UsageError


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    """200 of them at 32 x 32, the size that the constants are for."""
    images = torch.from_numpy(load_digits().images[:200]).float().unsqueeze(1) / 16
    return torch.nn.functional.interpolate(images, (32, 32), mode="bilinear")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_moves_images_further_with_every_severity(digits: torch.Tensor, name: str) -> None:
    assert corrupt(digits, name, 0) is digits
    before, moved = digits.clone(), []
    for severity in SEVERITIES:
        seen = corrupt(digits, name, severity)
        assert seen.shape == digits.shape
        assert 0 <= seen.min() <= seen.max() <= 1
        assert torch.equal(seen, corrupt(digits, name, severity))
        moved.append(float((seen - digits).square().mean()))
    assert torch.equal(digits, before)
    assert moved[0] > 0
    if name != "pixelate":  # 30 pixels of 32 alias worse than 28: its blocks are counted below
        assert moved == sorted(moved)
        assert moved[-1] > 1.2 * moved[0]


def test_noise_has_the_deviation_of_the_table() -> None:
    grey = torch.full((4, 3, 64, 64), 0.5)
    assert float((corrupt(grey, "gaussian noise", 5) - grey).std()) == pytest.approx(0.10, rel=0.03)
    # a Poisson count of mean 25 has deviation 5, of 50 levels: 0.1
    assert float((corrupt(grey, "shot noise", 5) - grey).std()) == pytest.approx(0.10, rel=0.03)
    struck = corrupt(grey, "impulse noise", 5)
    assert float((struck != grey).float().mean()) == pytest.approx(0.07, rel=0.1)
    assert set(struck.unique().tolist()) == {0.0, 0.5, 1.0}


def test_contrast_and_brightness_by_hand() -> None:
    image = torch.tensor([[[[0.2, 0.6]], [[0.4, 0.4]], [[0.0, 0.8]]]])  # two pixels, three channels
    # severity 1 keeps 0.75 of the distance to a channel's mean
    expected = torch.tensor([[[[0.25, 0.55]], [[0.4, 0.4]], [[0.1, 0.7]]]])
    assert torch.allclose(corrupt(image, "contrast", 1), expected)
    # severity 5 adds 0.3 to the largest channel and scales the others with it: 0.4 -> 0.7 and 0.8 -> 1
    expected = torch.tensor([[[[0.35, 0.75]], [[0.7, 0.5]], [[0.0, 1.0]]]])
    assert torch.allclose(corrupt(image, "brightness", 5), expected)
    assert torch.allclose(corrupt(torch.zeros(1, 3, 2, 2), "brightness", 5), torch.full((1, 3, 2, 2), 0.3))


def test_blur_keeps_flat_images_and_pixelate_makes_blocks() -> None:
    flat = torch.full((1, 1, 32, 32), 0.25)
    for name in ("gaussian blur", "contrast", "pixelate"):
        assert torch.allclose(corrupt(flat, name, 5), flat, atol=1e-6)
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    blocks = [len(corrupt(ramp, "pixelate", severity)[0, 0, 0].unique()) for severity in SEVERITIES]
    assert blocks == [30, 28, 27, 24, 20]


def test_images_smaller_than_the_blur_are_blurred_too() -> None:
    assert corrupt(torch.rand(2, 1, 3, 3), "gaussian blur", 5).shape == (2, 1, 3, 3)


def test_what_does_not_exist_is_told(digits: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="unknown corruption 'rain'"):
        corrupt(digits, "rain", 1)
    with pytest.raises(UsageError, match="severity 6"):
        corrupt(digits, "jpeg", 6)
