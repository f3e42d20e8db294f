"""Images in folders: DIR/train/CLASS/*.png, DIR/val/CLASS/*.png and perhaps DIR/test/CLASS/*.png."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from edgeprune.errors import UsageError
from edgeprune.sources.augment import Augmentation, black
from edgeprune.sources.data import Data, check_labels, cut_val, per_channel

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
IMAGE_SIZE = 224
SMALL = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FolderImages(Dataset[tuple[Tensor, int]]):
    """RGB images (3, size, size), upright as EXIF says; kept as bytes once decoded if all fit into `keep_mib`."""

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Tensor,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        keep_mib: float = 1024.0,
    ) -> None:
        self.paths, self.labels, self.size = tuple(paths), labels, size
        self.mean, self.std = mean, std
        self._keep = len(paths) * 3 * size * size <= keep_mib * 2**20
        self._decoded: dict[Path, Tensor] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self._read(self.paths[index]).float().div_(255.0)
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in (self.mean, self.std))
        return (pixels - mean) / std, int(self.labels[index])

    def take(self, indices: Tensor) -> "FolderImages":
        """The images at the indices (N,)."""
        paths = [self.paths[index] for index in indices.tolist()]
        part = FolderImages(paths, self.labels[indices], self.size, self.mean, self.std)
        part._decoded = self._decoded
        return part

    def check(self) -> "FolderImages":
        """These images, all of them decoded now if they are kept; else every header read. Raises UsageError."""
        for path in self.paths:
            if self._keep:
                self._read(path)
            else:
                with _opened(path):
                    pass
        return self

    def _read(self, path: Path) -> Tensor:
        if path in self._decoded:
            return self._decoded[path]
        with _opened(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            pixels = torch.from_numpy(_fit(upright, self.size)).permute(2, 0, 1).contiguous()
        if self._keep:
            self._decoded[path] = pixels
        return pixels


def load(
    folder: str,
    image_size: int | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    seed: int,
) -> Data:
    """The images under the folder, shorter side resized to `image_size` (224) and the centre cut out.

    Classes are the folders of train/ in alphabetical order. Without val/ a tenth of train is cut off. mean and std
    default to ImageNet's. Raises UsageError on missing folders, classes without images, unreadable images.
    """
    place = Path(folder)
    if not (place / "train").is_dir():
        raise UsageError(f"{place} has no folder train/", "lay the images out as train/CLASS/*.png and val/CLASS/*.png")
    size = image_size or IMAGE_SIZE
    mean_ = per_channel(IMAGENET_MEAN if mean is None else mean, 3, "--mean")
    std_ = per_channel(IMAGENET_STD if std is None else std, 3, "--std")
    names = tuple(sorted(p.name for p in (place / "train").iterdir() if p.is_dir() and not p.name.startswith(".")))
    if len(names) < 2:
        raise UsageError(f"{place / 'train'} has {len(names)} class folders", "one folder a class, at least two")

    def part(split: str) -> FolderImages:
        return FolderImages(*_list(place / split, names), size, mean_, std_).check()

    test = part("test") if (place / "test").is_dir() else None
    train, val = (part("train"), part("val")) if (place / "val").is_dir() else cut_val(part("train"), seed)
    crop = 1.0 if size <= SMALL else 0.8
    augmentation = Augmentation(shift=2 if size <= SMALL else 0, flip=True, crop=crop, fill=black(mean_, std_))
    data = Data(train, val, test, names, (3, size, size), mean_, std_, place.resolve().name, augmentation)
    return check_labels(data, str(place))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} is no readable image: {error}", "replace or remove it") from error


def _list(split: Path, names: tuple[str, ...]) -> tuple[list[Path], Tensor]:
    unknown = sorted(p.name for p in split.iterdir() if p.is_dir() and not p.name.startswith("."))
    unknown = [name for name in unknown if name not in names]
    if unknown:
        raise UsageError(f"{split} has a class {unknown[0]!r} that train/ has not", "add it to train/ or remove it")
    paths, labels = [], []
    for label, name in enumerate(names):
        if not (split / name).is_dir():
            raise UsageError(f"{split} has no folder for class {name!r}", "every class of train/ needs one")
        images = sorted(p for p in (split / name).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not images:
            raise UsageError(f"{split / name} has no image", f"known suffixes: {' '.join(sorted(SUFFIXES))}")
        paths += images
        labels += [label] * len(images)
    return paths, torch.tensor(labels)


def _fit(image: Image.Image, size: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized.crop((left, top, left + size, top + size)), dtype=np.uint8)
