"""`edgeprune compare`: finished runs side by side, and how their dense and pruned networks take corrupted images."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.config import Config, make_settings
from edgeprune.diagnose.comparison import Comparison
from edgeprune.diagnose.corruptions import CORRUPTIONS
from edgeprune.diagnose.robustness import Answers, ask
from edgeprune.errors import UsageError
from edgeprune.finished import read_result
from edgeprune.pipeline.publish import restore
from edgeprune.progress import Progress
from edgeprune.result import Result
from edgeprune.sources.batches import gather, loaders
from edgeprune.sources.data import Data, is_loader, load_data
from edgeprune.sources.models import load_model

_ROUNDING = 0.01  # what undoing a normalisation may miss 0 and 1 by


def compare(folders: Sequence[Path], progress: Progress, *, images: int = 500) -> Comparison:
    """Compare finished runs on the same data; networks are asked on `images` of the final split, spread over it.

    Raises UsageError for a folder that is no finished run or is given twice, and for runs on different data.
    """
    runs, configs = _read(folders)
    split = next(iter(runs.values())).data.final_split
    if note := _why_not(configs):
        return Comparison(runs, split, note=note)
    data = _data(next(iter(configs.values())))
    shown, targets = _images(data, split, images)
    if note := _no_pictures(shown, data):
        return Comparison(runs, split, note=note)
    networks, pairs = _networks(dict(zip(runs, folders, strict=True)), configs, data)
    progress.stage(f"Asking {len(networks)} networks: {len(targets)} images, {len(CORRUPTIONS)} corruptions")
    answers: dict[str, Answers] = {}
    shown = shown.clamp(0, 1)
    for name, network in networks.items():

        def advance(corruption: str, name: str = name) -> None:
            done = len(answers) * len(CORRUPTIONS) + CORRUPTIONS.index(corruption) + 1
            progress.advance(done, len(networks) * len(CORRUPTIONS), f"{name}, {corruption}")

        answers[name] = ask(network, shown, targets, partial(_normalised, data=data), advance)
    return Comparison(runs, split, answers, pairs, data.class_names, shown, targets)


def _read(folders: Sequence[Path]) -> tuple[dict[str, Result], dict[str, Config]]:
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if not (folder / "result.json").is_file():
            raise UsageError(f"{folder} is not a finished run.", "Give run directories of `edgeprune optimize`.")
        if places.count(place) > 1:
            raise UsageError(f"{folder} is given twice.", "Give each run once.")
    unique = len({place.name for place in places}) == len(places)
    names = [place.name if unique else str(folder) for folder, place in zip(folders, places, strict=True)]
    read = [read_result(folder) for folder in folders]
    for result in read[1:]:
        if _judged_on(result) != _judged_on(read[0]):
            raise UsageError(
                f"The runs are judged on different data: {read[0].data.name} and {result.data.name}.",
                "Compare runs on the same data, split and input size.",
            )
    configs = [make_settings({}, folder / "config.yaml") for folder in folders]
    return dict(zip(names, read, strict=True)), dict(zip(names, configs, strict=True))


def _judged_on(result: Result) -> tuple[Any, ...]:
    data = result.data
    return data.name, data.final_split, data.sizes.get(data.final_split), data.input_shape, data.class_names


def _why_not(configs: dict[str, Config]) -> str:
    """Why the networks cannot be asked; empty if they can."""
    for name, config in configs.items():
        if config.task is not None:
            return f"{name} has a task of its own: corruptions and feature geometry are for classifiers."
        if config.model is None or config.data is None:
            return f"{name} was made from Python objects: its networks cannot be built again."
    return ""


def _data(config: Config) -> Data:
    assert config.data is not None
    shape = {"image_size": config.image_size, "mean": config.mean, "std": config.std}
    return load_data(config.data, **shape, seed=config.seed)  # type: ignore[arg-type]


def _images(data: Data, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Images with the data's normalisation undone, and their classes."""
    source: Any = data.test if split == "test" else data.val
    if is_loader(source):
        source = _items(loaders(data)[2 if split == "test" else 1])
    chosen = torch.linspace(0, len(source) - 1, min(count, len(source))).round().long()
    inputs, targets = gather(source, chosen)
    if not isinstance(inputs, Tensor) or inputs.ndim != 4:
        raise UsageError("The networks take something else than images.", "Compare classifiers of images.")
    return inputs.float() * _spread(data.std, 1.0) + _spread(data.mean, 0.0), torch.as_tensor(targets)


def _no_pictures(images: Tensor, data: Data) -> str:
    """Why the values are no pictures in [0, 1], which corruptions are defined on; empty if they are."""
    low, high = float(images.min()), float(images.max())
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return ""
    known = "with its mean and std undone" if data.mean or data.std else "and tells no mean and std"
    return (
        f"{data.name} gives values from {low:.3g} to {high:.3g} {known}: corruptions and feature geometry need "
        "pictures in [0, 1]. Return `mean` and `std`, as they were applied, beside `train`."
    )


def _items(batches: Any) -> Any:
    inputs, targets = (torch.cat([torch.as_tensor(part) for part in parts]) for parts in zip(*batches, strict=True))
    return torch.utils.data.TensorDataset(inputs, targets)


def _normalised(images: Tensor, data: Data) -> Tensor:
    return (images - _spread(data.mean, 0.0)) / _spread(data.std, 1.0)


def _spread(values: tuple[float, ...], default: float) -> Tensor:
    return torch.tensor(values or (default,)).view(1, -1, 1, 1)


def _networks(
    folders: dict[str, Path], configs: dict[str, Config], data: Data
) -> tuple[dict[str, nn.Module], dict[str, tuple[str, str]]]:
    """Networks by name, and the names of every run's dense and pruned one; runs on one dense network share it."""
    origins = {name: (config.model, config.weights) for name, config in configs.items()}
    shared = len(set(origins.values())) == 1
    networks: dict[str, nn.Module] = {}
    pairs: dict[str, tuple[str, str]] = {}
    known: dict[Any, str] = {}
    for name, folder in folders.items():
        model, weights = origins[name]
        dense = known.setdefault(origins[name], "dense" if shared else f"{name}, dense")
        if dense not in networks:
            classes = len(data.class_names) or None
            networks[dense] = load_model(model, weights, num_classes=classes, in_channels=data.input_shape[0]).eval()  # type: ignore[arg-type]
        pairs[name] = (dense, f"{name}, pruned")
        networks[pairs[name][1]] = restore(folder, networks[dense])
    return networks, pairs
