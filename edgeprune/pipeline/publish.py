"""The delivered attempt's files where a user looks for them, model.safetensors and artifacts/, and the way back."""

import shutil
from pathlib import Path

from torch import nn

from edgeprune.files import whole
from edgeprune.graph import Widths
from edgeprune.result import ArtifactResult
from edgeprune.run import Run
from edgeprune.sources.models import load_weights


def publish(run: Run, attempt: int, entries: list[ArtifactResult]) -> list[ArtifactResult]:
    """Copy the weights and files of an attempt to the top of the run; the entries with their new paths.

    Copied, not moved: a run that is stopped here finds everything again when it is resumed.
    """
    _copy(run.attempt(attempt) / "model.safetensors", run.path / "model.safetensors")
    published = []
    for entry in entries:
        place = run.artifacts / Path(entry.path).name
        _copy(run.path / entry.path, place)
        published.append(entry.model_copy(update={"path": str(place.relative_to(run.path))}))
    return published


def restore(folder: Path, model: nn.Module) -> nn.Module:
    """The pruned, trained network of a finished run, in eval mode; `model` is the original and is not changed."""
    widths = Widths.from_json((folder / "widths.json").read_text(encoding="utf-8"))
    return load_weights(widths.apply(model), folder / "model.safetensors").eval()


def _copy(source: Path, place: Path) -> None:
    """A file, or a folder such as an .mlpackage, whole or not at all."""
    with whole(place) as partial:
        if not source.is_dir():
            shutil.copyfile(source, partial)
            return
        shutil.copytree(source, partial)
        shutil.rmtree(place, ignore_errors=True)
