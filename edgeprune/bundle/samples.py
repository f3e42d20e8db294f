"""A few pictures of the validation set, for an app to show."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from edgeprune.sources.data import Data, labels_of
from edgeprune.sources.folder import FolderImages

COUNT = 10
_ANDROID_READS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"}
_LARGEST_BYTES = 5_000_000


def write_samples(data: Data, folder: Path) -> list[dict[str, Any]]:
    """One picture of each of the first COUNT classes below `folder`/samples; file and label of each.

    Pictures of a folder are copied as they are, tensors become PNGs.
    """
    labels = labels_of(data.val)
    assert labels is not None, "data of known preprocessing have labels"
    entries: list[dict[str, Any]] = []
    for name, index in _one_a_class(data, labels):
        place = _write(data, index, folder / "samples" / f"{len(entries):02d}")
        entries.append({"file": str(place.relative_to(folder)), "label": name})
    return entries


def _one_a_class(data: Data, labels: Tensor) -> list[tuple[str, int]]:
    chosen: list[tuple[str, int]] = []
    for label, name in enumerate(data.class_names):
        indices = (labels == label).nonzero().flatten().tolist()
        index = next((i for i in indices if _usable(data, i)), None)
        if index is not None and len(chosen) < COUNT:
            chosen.append((name, index))
    return chosen


def _usable(data: Data, index: int) -> bool:
    if not isinstance(data.val, FolderImages):
        return True
    path = data.val.paths[index]
    return path.suffix.lower() in _ANDROID_READS and path.stat().st_size <= _LARGEST_BYTES


def _write(data: Data, index: int, stem: Path) -> Path:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data.val, FolderImages):
        source = data.val.paths[index]
        place = stem.with_suffix(source.suffix.lower())
        shutil.copyfile(source, place)
        return place
    assert isinstance(data.val, TensorDataset)
    pixels = data.val.tensors[0][index].numpy()  # (C, H, W), normalised
    mean, std = (np.array(values).reshape(-1, 1, 1) for values in (data.mean, data.std))
    levels = np.rint((pixels * std + mean) * 255).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))
    place = stem.with_suffix(".png")
    image.save(place)
    return place
