"""scikit-learn's handwritten digits: 1797 real images, 8x8, 1 channel, 10 classes (Alpaydin and Kaynak 1998)."""

from collections.abc import Sequence

import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

from edgeprune.sources import splits
from edgeprune.sources.augment import Augmentation, black
from edgeprune.sources.data import Data, cut_val, per_channel, take

TEST_FRACTION = 0.2
TEST_SEED = 0
MEAN, STD = 0.305, 0.376


def load(mean: float | Sequence[float] | None, std: float | Sequence[float] | None, seed: int) -> Data:
    """1295 train, 143 val and 359 test images, stratified. The test images are the same for every seed."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16.0
    mean_, std_ = per_channel(MEAN if mean is None else mean, 1, "--mean"), per_channel(std or STD, 1, "--std")
    every = TensorDataset((images - mean_[0]) / std_[0], torch.from_numpy(digits.target).long())
    rest, test = splits.stratified(digits.target, TEST_FRACTION, TEST_SEED)
    train, val = cut_val(take(every, rest), seed)
    names = tuple(str(name) for name in digits.target_names)
    augmentation = Augmentation(shift=1, flip=False, fill=black(mean_, std_))
    return Data(train, val, take(every, test), names, (1, 8, 8), mean_, std_, "digits", augmentation)
