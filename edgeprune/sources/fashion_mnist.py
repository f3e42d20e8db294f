"""Fashion-MNIST from its four idx files (Xiao et al. 2017), gzipped or plain: Debian's dataset-fashion-mnist."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from edgeprune.errors import UsageError
from edgeprune.sources.augment import Augmentation, black
from edgeprune.sources.data import Data, check_labels, cut_val, per_channel

NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
MEAN, STD = 0.286, 0.353
UNSIGNED_BYTE = 8


def load(folder: str, mean: float | Sequence[float] | None, std: float | Sequence[float] | None, seed: int) -> Data:
    """54000 train, 6000 val and 10000 test images of 28x28, 1 channel. Raises UsageError on missing or broken files."""
    place = Path(folder or "/usr/share/datasets/fashion-mnist")
    mean_, std_ = per_channel(MEAN if mean is None else mean, 1, "--mean"), per_channel(std or STD, 1, "--std")

    def part(prefix: str) -> TensorDataset:
        images, labels = read_idx(place, f"{prefix}-images-idx3-ubyte"), read_idx(place, f"{prefix}-labels-idx1-ubyte")
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise UsageError(f"{place}: {prefix} has images {tuple(images.shape)} but labels {tuple(labels.shape)}")
        scaled = images.float().div_(255.0).sub_(mean_[0]).div_(std_[0])
        return TensorDataset(scaled.unsqueeze(1), labels.long())

    train, val = cut_val(part("train"), seed)
    augmentation = Augmentation(shift=2, flip=True, fill=black(mean_, std_))
    shape = tuple(train.tensors[0].shape[1:])
    data = Data(train, val, part("t10k"), NAMES, shape, mean_, std_, "fashion-mnist", augmentation)
    return check_labels(data, str(place))


def read_idx(folder: Path, name: str) -> Tensor:
    """The uint8 tensor of an idx file: two zero bytes, type, number of axes, sizes (big-endian 32 bit), values."""
    path = next((p for p in (folder / f"{name}.gz", folder / name) if p.is_file()), None)
    if path is None:
        raise UsageError(f"{folder} has no {name}.gz", "apt-get install dataset-fashion-mnist, or name another folder")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {error}", "is the file complete?") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE or len(raw) < 4 + 4 * raw[3]:
        raise UsageError(f"{path} is no idx file of bytes", "is it the file its name says?")
    start = 4 + 4 * raw[3]
    shape = np.frombuffer(raw[4:start], dtype=">u4").astype(int)
    if len(raw) - start != shape.prod():
        raise UsageError(
            f"{path} is truncated: {len(raw) - start} values where the header says {shape.prod()}",
            "copy the file again",
        )
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape).copy())
