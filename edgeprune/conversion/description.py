"""FILE.json beside a converted file: what an app has to know to feed it and to read its answers."""

from pathlib import Path
from typing import Any

from edgeprune.files import write_json


def describe(outcome: dict[str, Any]) -> None:
    """Write it. Inputs are (value - mean) / std of pixels in [0, 1], in the layout given. Raises EnvironmentProblem."""
    artifact, data = outcome["artifact"], outcome["data"] or {}
    about = {name: artifact[name] for name in ("format", "precision", "inputs", "outputs", "sha256", "versions")}
    about |= {name: data.get(name) or None for name in ("labels", "mean", "std")}
    path = Path(artifact["path"])
    write_json(path.with_name(f"{path.name}.json"), about)
