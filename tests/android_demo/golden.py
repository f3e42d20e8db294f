"""What Python makes of real pictures and models, for the app's Java to be compared with."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from converters.artifact import Artifact, Format, TensorSpec
from edgeprune.bundle.preprocessing import preprocessing_of
from edgeprune.sources.data import Data, load_data
from edgeprune.sources.folder import IMAGENET_MEAN, IMAGENET_STD, FolderImages, _fit
from profilers.android.app import extras
from profilers.android.turn import Turn
from profilers.runtimes import open_session

ORIENTATION = 0x0112


def write_pictures(folder: Path) -> None:
    """cases.json: a picture, what EXIF says of it, the preprocessing, and the pixels and numbers that Python gets."""
    folder.mkdir(parents=True)
    cases = [_case(folder, *how) for how in _cases()]
    (folder / "cases.json").write_text(json.dumps(cases))


def _cases() -> list[tuple[str, Image.Image, int, int, str]]:
    china, flower = (Image.fromarray(image) for image in load_sample_images().images)
    digit = Image.fromarray((load_digits().images[3] * 15).astype(np.uint8))
    with_alpha = flower.convert("RGBA")
    with_alpha.putalpha(china.convert("L"))
    landscape = [("landscape", china, 1, 224, "RGB"), ("no change", china.crop((5, 9, 101, 105)), 1, 96, "RGB")]
    turned = [(f"exif {n}", flower.crop((0, 0, 301, 203)), n, 64, "RGB") for n in range(1, 9)]
    others = [
        ("grown", china.crop((100, 100, 131, 120)), 1, 48, "RGB"),
        ("narrow", flower.crop((200, 0, 217, 400)), 6, 32, "RGB"),
        ("grey file", digit, 1, 8, "RGB"),
        ("grey", digit.resize((21, 34), Image.Resampling.NEAREST), 1, 8, "L"),
        ("colours to grey", china, 8, 28, "L"),
        ("alpha", with_alpha, 1, 100, "RGB"),
    ]
    return landscape + turned + others


def _case(folder: Path, name: str, image: Image.Image, orientation: int, side: int, colour: str) -> dict[str, Any]:
    stem = name.replace(" ", "-")
    path = folder / f"{stem}.png"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if colour == "RGB" else ((0.286,), (0.353,))
    if colour == "RGB":
        numbers = FolderImages([path], torch.tensor([0]), side, mean, std)[0][0].numpy()
        levels = np.rint((numbers * np.reshape(std, (3, 1, 1)) + np.reshape(mean, (3, 1, 1))) * 255)
    else:
        levels = _fit(ImageOps.exif_transpose(Image.open(path)).convert("L"), side)[None]
        numbers = (levels.astype(np.float32) / 255 - np.float32(mean[0])) / np.float32(std[0])
    levels.transpose(1, 2, 0).astype(np.uint8).tofile(folder / f"{stem}.levels")
    numbers.astype("<f4").tofile(folder / f"{stem}.numbers")
    data = Data([], [], None, (), (len(mean), side, side), mean, std, name)
    how = preprocessing_of(data, "folder:x")
    return {"name": name, "file": stem, "orientation": orientation, "preprocessing": how}


def write_bundle_answers(bundle: Path, folder: Path) -> None:
    """A copy of a digits bundle, and what its LiteRT models answer in Python to the samples' own tensors."""
    shutil.copytree(bundle, folder)
    content = json.loads((folder / "bundle.json").read_text())
    val = load_data("builtin:digits").val.tensors
    answers: dict[str, list[list[float]]] = {}
    for model in content["models"]:
        if model["runtime"] == "litert":
            runtime = open_session(folder / model["file"], "litert", 1)
            answers[model["network"]] = []
            for sample in content["samples"]:
                index = int((val[1] == int(sample["label"])).nonzero()[0])
                (logits,) = runtime.run([val[0][index : index + 1].numpy()])
                answers[model["network"]].append(logits.flatten().tolist())
    (folder / "answers.json").write_text(json.dumps(answers))


def write_statistics(folder: Path) -> None:
    """numpy's quantiles of the pixel sums of the digits."""
    values = load_digits().images.sum(axis=(1, 2)).astype(int)[:501]
    points = [0, 0.1, 0.25, 0.5, 0.9, 0.99, 1]
    quantiles = [float(np.quantile(values, q)) for q in points]
    (folder / "statistics.json").write_text(
        json.dumps({"values": values.tolist(), "points": points, "quantiles": quantiles})
    )


def write_frames(folder: Path) -> None:
    """A camera's frame (YUV 4:2:0, JFIF) in two layouts that phones have, and the colours that Pillow makes of it."""
    folder.mkdir(parents=True)
    width, height = 62, 48
    picture = Image.fromarray(load_sample_images().images[1]).crop((250, 150, 250 + width, 150 + height))
    luma, blue, red = (np.asarray(plane) for plane in picture.convert("YCbCr").split())
    blue, red = blue[::2, ::2], red[::2, ::2]
    whole = [luma, *(plane.repeat(2, 0).repeat(2, 1) for plane in (blue, red))]
    (folder / "rgb").write_bytes(
        Image.merge("YCbCr", [Image.fromarray(plane) for plane in whole]).convert("RGB").tobytes()
    )
    interleaved = np.zeros((height // 2, 64), np.uint8)
    interleaved[:, :width:2], interleaved[:, 1:width:2] = red, blue
    layouts = {
        "planar": (luma.tobytes(), width, blue.tobytes(), red.tobytes(), width // 2, 1),
        # the order of NV21: the last row of each plane ends with its last value, without the padding
        "interleaved": (np.pad(luma, ((0, 0), (0, 2))).tobytes()[:-2], 64, interleaved.tobytes()[1:-2],
                        interleaved.tobytes()[:-3], 64, 2),
    }  # fmt: skip
    cases = []
    for name, (y, luma_row, u, v, chroma_row, chroma_step) in layouts.items():
        for suffix, plane in (("y", y), ("u", u), ("v", v)):
            (folder / f"{name}.{suffix}").write_bytes(plane)
        sizes = {"width": width, "height": height, "luma_row": luma_row}
        cases.append({"file": name, **sizes, "chroma_row": chroma_row, "chroma_step": chroma_step})
    (folder / "cases.json").write_text(json.dumps(cases))


def turns() -> dict[str, tuple[Turn, str]]:
    """Requests of every kind that the profiler makes of the app, with their delegates."""
    image, vector = TensorSpec("args_0", (1, 3, 32, 48), "float32"), TensorSpec("args_1", (1, 10), "float32")

    def artifact(format: Format, *inputs: TensorSpec) -> Artifact:
        return Artifact(format, Path("m"), inputs, (), "float32", "0123456789abcdef" * 4, 1)

    return {
        "defaults": (Turn(artifact("litert", image)), "cpu"),
        "memory": (
            Turn(artifact("litert", image), warmup_runs=0, warmup_seconds=0, min_runs=5, max_seconds=60.0),
            "cpu",
        ),
        "executorch": (Turn(artifact("executorch", image, vector), threads=4, cores=(4, 5), min_seconds=0.25), "cpu"),
        "gpu": (Turn(artifact("litert", image), warmup_seconds=0.0015, max_seconds=299.9996), "gpu"),
    }


def write_requests(folder: Path) -> None:
    """requests.json: the words of `am start` for each of `turns`, as the profiler says them."""
    words = {name: extras(turn, f"run-{name}", delegate) for name, (turn, delegate) in turns().items()}
    (folder / "requests.json").write_text(json.dumps(words))
