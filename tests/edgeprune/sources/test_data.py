"""Data specs, splits, and what is refused."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, TensorDataset

from edgeprune.errors import UsageError
from edgeprune.sources.data import Data, labels_of, load_data
from edgeprune.sources.folder import FolderImages
from edgeprune.sources.splits import long_tail, stratified
from edgeprune.sources.user_data import wrap_data


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("builtin:digits")


def counts(split: object) -> list[int]:
    labels = labels_of(split)
    assert labels is not None
    return torch.bincount(labels).tolist()


def test_digits_are_cut_by_class_and_share_no_image(digits: Data) -> None:
    splits = [digits.train, digits.val, digits.test]
    assert [len(split) for split in splits] == [1295, 143, 359]
    for split in splits:
        assert max(counts(split)) - min(counts(split)) <= 8
    images = torch.cat([split.tensors[0] for split in splits])
    assert len(images) == 1797
    assert digits.input_shape == (1, 8, 8)
    pixels = images * digits.std[0] + digits.mean[0]
    assert pixels.min() == pytest.approx(0, abs=1e-6)
    assert pixels.max() == pytest.approx(1, abs=1e-6)
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01


def test_the_seed_moves_val_and_never_test(digits: Data) -> None:
    other = load_data("builtin:digits", seed=1)
    assert torch.equal(other.test.tensors[0], digits.test.tensors[0])
    assert not torch.equal(other.val.tensors[0], digits.val.tensors[0])


def test_long_tail_thins_train_alone(digits: Data) -> None:
    tailed = load_data("builtin:digits", long_tail=20)
    assert counts(tailed.val) == counts(digits.val)
    assert counts(tailed.test) == counts(digits.test)
    kept = counts(tailed.train)
    assert kept == sorted(kept, reverse=True)
    assert kept[0] // kept[-1] in (20, 21)


def test_long_tail_counts_by_hand() -> None:
    labels = np.repeat(np.arange(3), 100)
    assert np.bincount(labels[long_tail(labels, 3, 100, 0)]).tolist() == [100, 10, 1]
    assert np.bincount(labels[long_tail(labels, 3, 1, 0)]).tolist() == [100, 100, 100]


def test_long_tail_that_leaves_a_class_empty() -> None:
    with pytest.raises(UsageError, match="leaves class 2 without an image") as caught:
        long_tail(np.repeat(np.arange(3), 100), 3, 101, 0)
    assert "100" in caught.value.cure


def test_stratified_by_hand() -> None:
    labels = np.repeat(np.arange(2), [20, 5])
    kept, cut = stratified(labels, 0.2, 0)
    assert np.bincount(labels[cut]).tolist() == [4, 1]
    assert sorted([*kept, *cut]) == list(range(25))


def test_stratified_needs_two_images_a_class() -> None:
    with pytest.raises(UsageError, match="class 1 has one image only"):
        stratified(np.array([0, 0, 1]), 0.1, 0)


FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.debian("dataset-fashion-mnist")
@pytest.mark.skipif(not FASHION.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_as_debian_has_it() -> None:
    data = load_data(f"fashion-mnist:{FASHION}")
    assert (counts(data.train), counts(data.val), counts(data.test)) == ([5400] * 10, [600] * 10, [1000] * 10)
    assert data.input_shape == (1, 28, 28)
    assert abs(data.train.tensors[0].mean()) < 0.01
    assert abs(data.train.tensors[0].std() - 1) < 0.01


def write_idx(path: Path, array: np.ndarray, zipped: bool) -> None:
    raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw))
    else:
        path.write_bytes(raw)


def small_fashion(folder: Path, zipped: bool = False) -> np.ndarray:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 28, 28))
    for prefix in ("train", "t10k"):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images, zipped)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(40) % 10, zipped)
    return images


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_hold_what_was_written(tmp_path: Path, zipped: bool) -> None:
    images = small_fashion(tmp_path, zipped)
    data = load_data(f"fashion-mnist:{tmp_path}", mean=0.5, std=0.25)
    expected = (images / 255.0 - 0.5) / 0.25
    assert np.allclose(data.test.tensors[0].numpy()[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-5], "truncated"),
        (lambda _: b"not an idx file", "no idx file"),
        (lambda raw: raw[:2], "no idx file"),
    ],
)
def test_damaged_idx_file(tmp_path: Path, damage: object, said: str) -> None:
    small_fashion(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=said):
        load_data(f"fashion-mnist:{tmp_path}")


def test_truncated_gzip(tmp_path: Path) -> None:
    small_fashion(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UsageError, match="cannot be read"):
        load_data(f"fashion-mnist:{tmp_path}")


def test_label_out_of_range(tmp_path: Path) -> None:
    small_fashion(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(40), False)
    with pytest.raises(UsageError, match="label 10 in test is out of range: there are 10 classes"):
        load_data(f"fashion-mnist:{tmp_path}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, images in (("train", 10), ("val", 2), ("test", 1)):
        for label, name in enumerate(("ant", "bee", "cow")):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for index in range(images):
                Image.new("RGB", (20, 12), (80 * label, 10 * index, 255)).save(place / f"{index}.png")
    return tmp_path


def test_folder_by_class_names_and_pixels(folder: Path) -> None:
    data = load_data(f"folder:{folder}", image_size=8, mean=0.5, std=(0.25, 0.5, 1.0))
    assert data.class_names == ("ant", "bee", "cow")
    assert (counts(data.train), counts(data.val), counts(data.test)) == ([10] * 3, [2] * 3, [1] * 3)
    image, label = data.train[13]
    assert (image.shape, label) == ((3, 8, 8), 1)
    assert image[:, 0, 0].tolist() == pytest.approx([(80 / 255 - 0.5) / 0.25, (30 / 255 - 0.5) / 0.5, 0.5], abs=1e-5)


def test_a_picture_is_turned_upright_as_exif_says(tmp_path: Path) -> None:
    """The eight orientations of a real picture, each turned back by Pillow's own transposition."""
    upright = Image.fromarray(load_sample_images().images[0]).crop((0, 0, 60, 40))
    turns = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE",
        8: "ROTATE_270",
    }  # fmt: skip
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        stored = upright.transpose(Image.Transpose[turns[orientation]]) if orientation > 1 else upright
        stored.save(tmp_path / f"{orientation}.png", exif=exif)
    paths = [tmp_path / f"{orientation}.png" for orientation in range(1, 9)]
    images = FolderImages(paths, torch.zeros(8, dtype=torch.long), 24, (0.0,) * 3, (1.0,) * 3)
    assert all(torch.equal(images[number][0], images[0][0]) for number in range(8))
    assert all(not torch.equal(images[0][0], images[0][0].flip(axis)) for axis in (1, 2))


def test_folder_without_val_gives_a_tenth_of_train(folder: Path) -> None:
    shutil.rmtree(folder / "val")
    data = load_data(f"folder:{folder}", image_size=8)
    assert (counts(data.train), counts(data.val)) == ([9] * 3, [1] * 3)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda place: shutil.rmtree(place / "val" / "bee"), "no folder for class 'bee'"),
        (lambda place: [p.unlink() for p in (place / "train" / "cow").iterdir()], "has no image"),
        (lambda place: (place / "val" / "dog").mkdir(), "a class 'dog' that train/ has not"),
        (lambda place: shutil.rmtree(place / "train"), "no folder train/"),
    ],
)
def test_damaged_folder(folder: Path, damage: object, said: str) -> None:
    damage(folder)
    with pytest.raises(UsageError, match=said):
        load_data(f"folder:{folder}", image_size=8)


def test_unreadable_image_is_named(folder: Path) -> None:
    path = folder / "train" / "ant" / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UsageError, match=r"ant/0\.png is no readable image"):
        load_data(f"folder:{folder}", image_size=8)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"mean": (0.1, 0.2)}, "--mean has 2 values for 3 channels"), ({"std": 0.0}, "--std 0 is not positive")],
)
def test_normalisation_that_does_not_fit(folder: Path, settings: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_data(f"folder:{folder}", image_size=8, **settings)


def test_unknown_spec_lists_the_forms() -> None:
    with pytest.raises(UsageError, match="unknown data 'imagenet'") as caught:
        load_data("imagenet")
    assert "folder:DIR" in caught.value.cure


USER = """
import torch
from torch.utils.data import TensorDataset

def make(bad=False):
    x, y = torch.randn(40, 3, 4, 4), torch.arange(40) % 4
    return {"train": TensorDataset(x, y), "class_names": ["a", "b", "c", "d"]}

def out_of_range():
    return {**make(), "class_names": ["a", "b", "c"]}

def missing():
    return {**make(), "class_names": ["a", "b", "c", "d", "e"]}

def no_train():
    return {"val": 3}

def masks():
    return {"train": TensorDataset(torch.randn(20, 3, 4, 4), torch.zeros(20, 4, 4).long())}
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "data.py"
    path.write_text(USER)
    return path


def test_users_data_is_cut_and_named(code: Path) -> None:
    data = load_data(f"{code}:make")
    assert (counts(data.train), counts(data.val)) == ([9] * 4, [1] * 4)
    assert (data.class_names, data.input_shape) == (("a", "b", "c", "d"), (3, 4, 4))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("out_of_range", "label 3 in train is out of range"),
        ("missing", "train has no image of class e"),
        ("no_train", "returned no 'train'"),
    ],
)
def test_users_data_that_does_not_fit(code: Path, function: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_data(f"{code}:{function}")


def test_targets_that_are_no_classes_are_left_alone(code: Path) -> None:
    data = load_data(f"{code}:masks")
    assert (len(data.train), len(data.val), data.class_names) == (18, 2, ())
    with pytest.raises(UsageError, match="--long-tail needs class labels"):
        load_data(f"{code}:masks", long_tail=10)


def test_a_loader_needs_a_val() -> None:
    loader = DataLoader(TensorDataset(torch.randn(8, 1, 4, 4), torch.arange(8) % 2), batch_size=4)
    with pytest.raises(UsageError, match="a DataLoader cannot be cut"):
        wrap_data(loader)
    assert wrap_data(loader, loader).input_shape == (1, 4, 4)
