"""The user's own data: a function that returns `train`, and perhaps `val`, `test` and `class_names`."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from edgeprune.errors import UsageError
from edgeprune.sources.data import Data, check_labels, cut_val, is_loader, labels_of
from edgeprune.sources.user_code import call_with, load_object


def load(spec: str, image_size: int | None, seed: int) -> Data:
    """The data of `file.py:function`, called with `image_size` and `seed` if it takes them.

    It returns a mapping or an object with `train` and perhaps `val`, `test`, `class_names`, `mean`, `std`.
    """
    found = call_with(load_object(spec), spec, image_size=image_size, seed=seed)

    def get(name: str) -> Any:
        return found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)

    if get("train") is None:
        raise UsageError(f"{spec} returned no 'train'", "return a dict with train, and perhaps val, test, class_names")
    return wrap_data(
        get("train"), get("val"), get("test"), get("class_names"), get("mean"), get("std"), name=spec, seed=seed
    )


def wrap_data(
    train: Any,
    val: Any = None,
    test: Any = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    name: str = "own data",
    seed: int = 0,
) -> Data:
    """Data of datasets, or of DataLoaders, of (input, target). Without val a tenth of train is cut off.

    Without class names they are counted from the labels of train; targets that are no class indices leave them empty.
    Raises UsageError if train is empty or a loader comes without val.
    """
    for split_name, split in (("train", train), ("val", val), ("test", test)):
        if split is not None and not (
            hasattr(split, "__len__") and (hasattr(split, "__iter__") or not is_loader(split))
        ):
            raise UsageError(f"{name}: {split_name} is a {type(split).__name__}", "give a torch Dataset or DataLoader")
    if not len(train):
        raise UsageError(f"{name}: train is empty")
    if val is None:
        if is_loader(train):
            raise UsageError(f"{name}: a DataLoader cannot be cut", "give val as well, or give datasets")
        train, val = cut_val(train, seed)
    labels = labels_of(train)
    if class_names is None and labels is not None:
        class_names = [str(index) for index in range(int(labels.max()) + 1)]
    data = Data(train, val, test, tuple(class_names or ()), _shape(train), tuple(mean or ()), tuple(std or ()), name)
    return data if labels is None else check_labels(data, name)


def _shape(train: Any) -> tuple[int, ...]:
    inputs = next(iter(train))[0] if is_loader(train) else train[0][0]
    first = inputs[0] if isinstance(inputs, tuple | list) else inputs
    if not isinstance(first, Tensor):
        raise UsageError(f"an input is a {type(first).__name__}, not a tensor", "apply ToTensor in your dataset")
    return tuple(first.shape[1:] if is_loader(train) else first.shape)
