"""Common corruptions of images (Hendrycks and Dietterich 2019; methods.md section 15), as far as torch makes them.

Nine of the 15 of CIFAR-10-C, of all four families, with its constants (`make_cifar_c.py`). The other six need OpenCV,
ImageMagick or pictures of frost; the library that holds them all asks for images of 32 pixels at least. Lengths are
pixels of a 32-pixel image and grow with larger images; they do not shrink with smaller ones.
"""

from collections.abc import Callable
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as transforms

from edgeprune.errors import UsageError

SEVERITIES = (1, 2, 3, 4, 5)
_EDGE = 32
_ZOOM_STEP = 0.01


def _gaussian_noise(x: Tensor, c: float, generator: Generator) -> Tensor:
    return x + c * torch.randn(x.shape, generator=generator)


def _shot_noise(x: Tensor, c: float, generator: Generator) -> Tensor:
    return torch.poisson(x * c, generator) / c


def _impulse_noise(x: Tensor, c: float, generator: Generator) -> Tensor:
    """Salt or pepper on a share c of the values."""
    drawn = torch.rand(x.shape, generator=generator)
    return torch.where(drawn < c / 2, 0.0, torch.where(drawn < c, 1.0, x))


def _gaussian_blur(x: Tensor, c: float, _: Generator) -> Tensor:
    sigma = c * max(1.0, min(x.shape[-2:]) / _EDGE)
    reach = min(round(4 * sigma), min(x.shape[-2:]) - 1)  # the mirrored edge is no wider than the image
    blurred: Tensor = transforms.gaussian_blur(x, [2 * max(1, reach) + 1] * 2, [sigma] * 2)
    return blurred


def _zoom_blur(x: Tensor, c: float, _: Generator) -> Tensor:
    """The image and its magnifications up to 1 + c, averaged."""
    steps = round(c / _ZOOM_STEP)
    zoomed = [
        transforms.affine(x, 0.0, [0, 0], 1 + i * _ZOOM_STEP, [0.0, 0.0], transforms.InterpolationMode.BILINEAR)
        for i in range(steps + 1)
    ]
    return torch.stack([x, *zoomed]).mean(0)


def _brightness(x: Tensor, c: float, _: Generator) -> Tensor:
    """The value of HSV, which is the largest channel, rises by c; hue and saturation stay."""
    value = x.amax(1, keepdim=True)
    return torch.where(value > 0, x * ((value + c).clamp(max=1) / value.clamp_min(1e-12)), c)


def _contrast(x: Tensor, c: float, _: Generator) -> Tensor:
    mean = x.mean((-2, -1), keepdim=True)
    return (x - mean) * c + mean


def _pixelate(x: Tensor, c: float, _: Generator) -> Tensor:
    size = [max(1, int(c * edge)) for edge in x.shape[-2:]]
    return F.interpolate(F.interpolate(x, size, mode="area"), x.shape[-2:], mode="nearest-exact")


def _jpeg(x: Tensor, c: float, _: Generator) -> Tensor:
    """Of quality c; images of other than one or three channels are written channel by channel."""
    colour = x.shape[1] in (1, 3)
    planes = x if colour else x.reshape(-1, 1, *x.shape[-2:])
    written: Tensor = transforms.jpeg((255 * planes).round().to(torch.uint8), int(c))
    return (written.float() / 255).reshape(x.shape)


_TABLE: dict[str, tuple[str, Callable[[Tensor, float, Generator], Tensor], tuple[float, ...]]] = {
    "gaussian noise": ("noise", _gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot noise": ("noise", _shot_noise, (500, 250, 100, 75, 50)),
    "impulse noise": ("noise", _impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "gaussian blur": ("blur", _gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "zoom blur": ("blur", _zoom_blur, (0.05, 0.10, 0.15, 0.20, 0.25)),
    "brightness": ("weather", _brightness, (0.05, 0.10, 0.15, 0.20, 0.30)),
    "contrast": ("digital", _contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": ("digital", _pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg": ("digital", _jpeg, (80, 65, 58, 50, 40)),
}
CORRUPTIONS = tuple(_TABLE)


def family(name: str) -> str:
    """noise, blur, weather or digital."""
    return _TABLE[name][0]


def corrupt(images: Tensor, name: str, severity: int) -> Tensor:
    """Images (N, C, H, W) in [0, 1], corrupted; the same images give the same ones. Severity 0 changes nothing.

    Raises UsageError for a corruption or a severity that does not exist.
    """
    if name not in _TABLE:
        raise UsageError(f"unknown corruption {name!r}", f"use {', '.join(CORRUPTIONS)}")
    if severity not in (0, *SEVERITIES):
        raise UsageError(f"severity {severity} does not exist", "they run from 0, which is clean, to 5")
    if severity == 0:
        return images
    _, make, constants = _TABLE[name]
    generator = torch.Generator().manual_seed(crc32(f"{name} {severity}".encode()))
    return make(images, constants[severity - 1], generator).clamp(0, 1)
