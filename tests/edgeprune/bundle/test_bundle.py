"""What a run delivers for an app."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from converters.artifact import sha256
from edgeprune.apk.assets import copy_bundle
from edgeprune.bundle import bundle_of, write_bundle
from edgeprune.bundle.preprocessing import preprocessing_of
from edgeprune.bundle.samples import write_samples
from edgeprune.errors import UsageError
from edgeprune.result import Result
from edgeprune.sources.data import load_data
from edgeprune.sources.user_data import wrap_data


@pytest.fixture
def copy(fast_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(fast_run, tmp_path / "run")


def test_optimize_leaves_a_bundle_of_its_own_files(fast_run):
    bundle = bundle_of(fast_run)
    assert bundle == fast_run / "bundle"
    content = json.loads((bundle / "bundle.json").read_text())
    result = json.loads((fast_run / "result.json").read_text())
    assert [(m["network"], m["runtime"]) for m in content["models"]] == [("dense", "litert"), ("pruned", "litert")]
    for model, artifact in zip(content["models"], result["artifacts"], strict=True):
        assert sha256(bundle / model["file"]) == model["sha256"] == artifact["sha256"]
        assert model["input_shape"] == [1, 1, 8, 8]
    assert content["labels"] == [str(digit) for digit in range(10)]
    assert content["preprocessing"]["mean"] == [0.305]
    assert {path.name for path in (bundle / "snippets").iterdir()} == {
        "Classifier.java", "Classifier.kt", "Classifier.swift",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content | {"name": "../../outside"},
        lambda content: content | {"name": ""},
        lambda content: content | {"samples": [{"file": "../../outside", "label": "0"}]},
        lambda content: content | {"samples": [{"file": "/etc/hostname", "label": "0"}]},
        lambda content: {key: value for key, value in content.items() if key != "models"},
        lambda content: [content],
    ],
    ids=["name", "no name", "sample", "absolute", "no models", "list"],
)
def test_a_bundle_of_another_hand_copies_nothing_from_or_to_outside(copy, tmp_path, change):
    bundle, assets = copy / "bundle", tmp_path / "app" / "assets"
    (copy.parent / "outside").write_text("secret")
    content = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(change(content)))
    with pytest.raises(UsageError, match="no bundle"):
        copy_bundle(bundle, assets, ("litert",))
    assert not assets.exists()


def test_two_runs_of_one_name_do_not_go_into_one_app(fast_run, tmp_path):
    copy_bundle(bundle_of(fast_run), tmp_path, ("litert",))
    with pytest.raises(UsageError, match="of this name"):
        copy_bundle(bundle_of(fast_run), tmp_path, ("litert",))


def test_samples_are_pictures_of_val_one_a_class(fast_run):
    bundle, val = bundle_of(fast_run), load_data("builtin:digits").val.tensors
    content = json.loads((bundle / "bundle.json").read_text())
    assert [sample["label"] for sample in content["samples"]] == content["labels"]
    for sample in content["samples"]:
        levels = np.asarray(Image.open(bundle / sample["file"])) / 255
        first = val[0][val[1] == int(sample["label"])][0, 0] * 0.376 + 0.305
        assert np.abs(levels - first.numpy()).max() <= 0.5 / 255 + 1e-6


def test_a_run_without_a_bundle_gets_the_same_one(copy):
    before = {path.name: path.read_bytes() for path in (copy / "bundle").rglob("*.*") if path.is_file()}
    shutil.rmtree(copy / "bundle")
    after = {path.name: path.read_bytes() for path in bundle_of(copy).rglob("*.*") if path.is_file()}
    assert after == before
    with pytest.raises(UsageError, match="not a finished run"):
        bundle_of(copy / "state")


def test_the_reduced_files_of_a_quantised_run_are_taken(copy):
    result = Result.model_validate_json((copy / "result.json").read_text())
    reduced = []
    for entry in result.artifacts:
        path = entry.path.replace(".tflite", "-int8.tflite")
        shutil.copyfile(copy / entry.path, copy / path)
        reduced.append(entry.model_copy(update={"path": path, "precision": "int8"}))
    result.artifacts += reduced
    write_bundle(copy, result, load_data("builtin:digits"), "builtin:digits")
    content = json.loads((copy / "bundle" / "bundle.json").read_text())
    assert [model["file"] for model in content["models"]] == ["dense-int8.tflite", "pruned-int8.tflite"]


def test_pictures_that_own_code_prepares_are_not_guessed(copy):
    digits = load_data("builtin:digits")
    data = wrap_data(TensorDataset(*digits.train.tensors), digits.val)
    result = Result.model_validate_json((copy / "result.json").read_text())
    for spec in (None, "mine.py:make"):
        write_bundle(copy, result, data, spec)
        content = json.loads((copy / "bundle" / "bundle.json").read_text())
        assert content["preprocessing"] is None
        assert content["samples"] == []
        assert not (copy / "bundle" / "snippets").exists()
        assert (copy / "bundle" / "pruned.tflite").is_file()


def test_pictures_of_a_folder_are_copied_as_they_are(tmp_path):
    digits = load_data("builtin:digits").val.tensors
    for split in ("train", "val"):
        for label in (3, 7):
            place = tmp_path / split / f"digit {label}"
            place.mkdir(parents=True)
            for number, image in enumerate(digits[0][digits[1] == label][:2]):
                levels = ((image[0] * 0.376 + 0.305) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
                Image.fromarray(levels).save(place / (f"{number}.tif" if number == 0 else f"{number}.PNG"))
    data = load_data(f"folder:{tmp_path}", image_size=8)
    samples = write_samples(data, tmp_path / "bundle")
    assert samples == [{"file": "samples/00.png", "label": "digit 3"}, {"file": "samples/01.png", "label": "digit 7"}]
    original = tmp_path / "val" / "digit 3" / "1.PNG"  # Android reads no TIFF
    assert (tmp_path / "bundle" / "samples" / "00.png").read_bytes() == original.read_bytes()
    how = preprocessing_of(data, "folder:x")
    assert how is not None
    assert (how["colour"], how["resize"]["side"]) == ("RGB", 8)
