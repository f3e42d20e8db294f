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
        files = [entry["file"] for entry in (*content["models"], *content["samples"])]
        outside = [name for name in (content["name"], *files) if not name or {"..", "/"} & {*Path(name).parts}]
        if outside or "/" in content["name"]:
            raise ValueError(f"{(outside or [content['name']])[0]!r} leads out of it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{bundle} is no bundle: {type(error).__name__}: {error}", "Name a finished run.") from error
    models = [model for model in content["models"] if model["runtime"] in runtimes]
    if not models:
        found = ", ".join(sorted({model["runtime"] for model in content["models"]})) or "nothing"
        raise UsageError(
            f"{bundle} has models for {found} only; this app runs {', '.join(runtimes)}.",
            "Optimize with --formats litert, or build with --executorch.",
        )
    target = assets / "bundles" / content["name"]
    if target.exists():
        raise UsageError(f"Two bundles are of this name: {content['name']}.", "Build them into an app each.")
    with disk_trouble(target):
        target.mkdir(parents=True)
        for file in [entry["file"] for entry in (*models, *content["samples"])]:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / file, target / file)
    write_json(target / "bundle.json", {**content, "models": models})
