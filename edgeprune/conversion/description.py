"""FILE.json beside a converted file: what an app has to know to feed it and to read its answers."""

from pathlib import Path
from typing import Any

from edgeprune.files import write_json


def describe(outcome: dict[str, Any]) -> None:
    """Write it. Raises EnvironmentProblem.

    The file takes (pixel - mean) / std of pixels in [0, 1]; if "normalises" is true, pixels of 0 to 255 as they are.
    """
    artifact, data = outcome["artifact"], outcome["data"] or {}
    about = {name: artifact[name] for name in ("format", "precision", "inputs", "outputs", "sha256", "versions")}
    about |= {name: data.get(name) or None for name in ("labels", "mean", "std")}
    about["normalises"] = artifact["normalisation"] is not None
    path = Path(artifact["path"])
    write_json(path.with_name(f"{path.name}.json"), about)
