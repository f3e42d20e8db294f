"""The part of a bundle that goes into the app: what its runtimes can run."""

import json
import shutil
from pathlib import Path

from edgeprune.errors import UsageError
from edgeprune.files import disk_trouble, write_json


def copy_bundle(bundle: Path, assets: Path, runtimes: tuple[str, ...]) -> None:
    """Copy bundle.json, its samples and its models of these runtimes below `assets`/bundles.

    Raises UsageError if it is no bundle, or has no model that the app could run.
    """
    try:
        content = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"{bundle} is no bundle: {error}", "Name a finished run.") from error
    models = [model for model in content["models"] if model["runtime"] in runtimes]
    if not models:
        found = ", ".join(sorted({model["runtime"] for model in content["models"]})) or "nothing"
        raise UsageError(
            f"{bundle} has models for {found} only; this app runs {', '.join(runtimes)}.",
            "Optimize with --formats litert, or build with --executorch.",
        )
    target = assets / "bundles" / content["name"]
    with disk_trouble(target):
        target.mkdir(parents=True)
        for file in [entry["file"] for entry in (*models, *content["samples"])]:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / file, target / file)
    write_json(target / "bundle.json", {**content, "models": models})
