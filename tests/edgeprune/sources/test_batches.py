"""Loaders, calibration batches and augmentation."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from edgeprune.sources.augment import Augmentation, black
from edgeprune.sources.batches import Loader, calibration_batches, default_batch_size, loaders
from edgeprune.sources.data import Data, load_data
from edgeprune.sources.user_data import wrap_data


def numbered(n: int) -> TensorDataset:
    return TensorDataset(torch.arange(n).float().view(n, 1, 1, 1), torch.arange(n) % 4)


class Pairs(Dataset):
    """Items ((image, number), target)."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> object:
        return (torch.full((1, 2, 2), float(index)), torch.tensor([float(index)])), torch.tensor([index / 2])


def test_every_item_once_in_an_order_of_seed_and_epoch() -> None:
    loader = Loader(numbered(25), 10, shuffle=True, seed=3)
    first = torch.cat([x for x, _ in loader]).flatten()
    assert sorted(first.tolist()) == list(range(25))
    assert torch.equal(first, torch.cat([x for x, _ in loader]).flatten())
    loader.epoch = 1
    assert not torch.equal(first, torch.cat([x for x, _ in loader]).flatten())
    assert len(loader) == 3


def test_drop_last_keeps_whole_batches_and_a_small_set() -> None:
    assert [len(y) for _, y in Loader(numbered(25), 10, drop_last=True)] == [10, 10]
    assert [len(y) for _, y in Loader(numbered(5), 10, drop_last=True)] == [5]


@pytest.mark.parametrize(("images", "size"), [(54_000, 128), (5120, 128), (5119, 64), (1295, 32), (600, 16), (40, 16)])
def test_few_images_come_in_small_batches(images: int, size: int) -> None:
    """40 steps an epoch: 5120 / 128 = 40, 1295 / 32 = 40.5; never fewer than 16 images a step."""
    data = Data(numbered(images), numbered(4), None, (), (1, 1, 1), (0.0,), (1.0,), "numbers")
    assert default_batch_size(data) == size


def test_several_inputs_come_as_a_tuple() -> None:
    data = wrap_data(Pairs(), Pairs())
    for batches in (loaders(data, 4)[0], loaders(wrap_data(DataLoader(Pairs(), 4), Pairs()), 4)[0]):
        inputs, targets = next(iter(batches))
        assert isinstance(inputs, tuple)
        assert [tuple(x.shape) for x in inputs] == [(4, 1, 2, 2), (4, 1)]
        assert torch.equal(inputs[0][:, 0, 0, 0], inputs[1][:, 0])
        assert torch.equal(inputs[1] / 2, targets)


def test_calibration_is_seeded_and_from_train() -> None:
    data = load_data("builtin:digits")
    batches = calibration_batches(data, 100, 32, seed=1)
    assert [len(y) for _, y in batches] == [32, 32, 32, 4]
    again = calibration_batches(data, 100, 32, seed=1)
    assert all(torch.equal(x, z) for (x, _), (z, _) in zip(batches, again, strict=True))
    train = {image.numpy().tobytes() for image in data.train.tensors[0]}
    assert all(image.numpy().tobytes() in train for x, _ in batches for image in x)


def test_balanced_calibration_on_a_long_tail() -> None:
    data = load_data("builtin:digits", long_tail=60)
    labels = torch.cat([y for _, y in calibration_batches(data, 50, 25, class_balanced=True)])
    assert torch.bincount(labels).tolist() == [5] * 10


@pytest.mark.parametrize("shift", [1, 2])
def test_shift_moves_whole_images_and_fills_with_black(shift: int) -> None:
    images = torch.zeros(64, 1, 9, 9)
    images[:, :, 4, 4] = 1.0
    augmented = Augmentation(shift=shift, fill=(-3.0,))(images, torch.Generator().manual_seed(0))
    assert augmented.shape == images.shape
    ones = (augmented == 1).nonzero()[:, 2:] - 4
    assert len(ones) == 64
    assert ones.min() == -shift
    assert ones.max() == shift
    filled = (augmented == -3).flatten(1).sum(1)
    expected = 81 - (9 - ones[:, 0].abs()) * (9 - ones[:, 1].abs())
    assert torch.equal(filled, expected)


def test_flip_is_the_mirror_image_of_about_half() -> None:
    images = torch.arange(4.0).expand(200, 1, 1, 4).clone()
    augmented = Augmentation(flip=True)(images, torch.Generator().manual_seed(0))
    flipped = augmented[:, 0, 0, 0] == 3
    assert torch.equal(augmented[flipped], images[flipped].flip(3))
    assert torch.equal(augmented[~flipped], images[~flipped])
    assert 70 < flipped.sum() < 130


def test_crop_stays_inside_the_image() -> None:
    images = torch.linspace(0, 1, 32).expand(50, 3, 32, 32).clone()
    augmented = Augmentation(crop=0.8)(images, torch.Generator().manual_seed(0))
    assert augmented.shape == images.shape
    assert augmented.min() >= 0
    assert augmented.max() <= 1
    widths = augmented[:, 0, 0, -1] - augmented[:, 0, 0, 0]
    assert 0.75 < widths.min() < 0.85
    assert widths.max() <= 1


def test_black_is_the_normalised_zero() -> None:
    assert black((0.5, 0.2), (0.25, 0.1)) == (-2.0, -2.0)


def test_only_train_is_augmented() -> None:
    data: Data = load_data("builtin:digits")
    train, val, test = loaders(data, 64)
    assert train.augmentation is not None
    assert (val.augmentation, test.augmentation) == (None, None)
    assert sum(len(y) for _, y in val) == 143
