"""Light augmentation of a whole batch at once, for images already normalised."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random shift by up to `shift` pixels, horizontal flip, and crops of at least `crop` of the side, resized back.

    `fill` is the value a channel has outside the image: black after normalisation.
    """

    shift: int = 0
    flip: bool = False
    crop: float = 1.0
    fill: tuple[float, ...] = (0.0,)

    def __call__(self, images: Tensor, generator: torch.Generator, *, first: int = 0, of: int | None = None) -> Tensor:
        """Augmented images, (N, C, H, W) like those given; every image has its own draw.

        `first`, `of`: these are the images from `first` on of a batch of so many, and get the draws that they would
        get in it.
        """
        part, whole = slice(first, first + len(images)), len(images) if of is None else of
        if self.crop < 1:
            images = self._zoom(images, generator, part, whole)
        if self.shift:
            images = self._shift(images, generator, part, whole)
        if self.flip:
            flipped = torch.rand(whole, generator=generator)[part] < 0.5
            images = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
        return images

    def _shift(self, images: Tensor, generator: torch.Generator, part: slice, whole: int) -> Tensor:
        n, channels, height, width = images.shape
        by, fill = self.shift, torch.tensor(self.fill, dtype=images.dtype).view(1, -1, 1, 1)
        padded = F.pad(images - fill, (by, by, by, by)) + fill
        rows = torch.randint(0, 2 * by + 1, (whole, 1), generator=generator)[part] + torch.arange(height)
        columns = torch.randint(0, 2 * by + 1, (whole, 1), generator=generator)[part] + torch.arange(width)
        each = torch.arange(n).view(n, 1, 1, 1)
        return padded[each, torch.arange(channels).view(1, -1, 1, 1), rows[:, None, :, None], columns[:, None, None, :]]

    def _zoom(self, images: Tensor, generator: torch.Generator, part: slice, whole: int) -> Tensor:
        scale = self.crop + (1 - self.crop) * torch.rand(whole, generator=generator)[part]
        offset = (1 - scale).unsqueeze(1) * (2 * torch.rand(whole, 2, generator=generator)[part] - 1)
        theta = torch.zeros(len(images), 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = scale
        theta[:, :, 2] = offset
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def black(mean: Sequence[float], std: Sequence[float]) -> tuple[float, ...]:
    """The normalised value of black, one a channel."""
    return tuple(-m / s for m, s in zip(mean, std, strict=True))
