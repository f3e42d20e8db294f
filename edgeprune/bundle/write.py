"""Writing bundle/ of a run, and finding it again. docs/bundle.md describes bundle.json."""

import shutil
from pathlib import Path
from typing import Any

from edgeprune.bundle.preprocessing import preprocessing_of
from edgeprune.bundle.samples import write_samples
from edgeprune.bundle.snippets import write_snippets
from edgeprune.errors import UsageError
from edgeprune.files import copy, whole, write_json
from edgeprune.finished import read_result
from edgeprune.result import ArtifactResult, Result
from edgeprune.sources.data import Data, load_data

SCHEMA = 1
RUNTIMES = ("litert", "executorch")


def write_bundle(run: Path, result: Result, data: Data, spec: str | None) -> Path | None:
    """Write `run`/bundle, whole or not at all, from the files of its result; None if none is for an app's runtimes.

    `spec` is the data's (None: given from Python). Raises EnvironmentProblem when it cannot be written.
    """
    chosen = _models(result.artifacts)
    if not chosen:
        return None
    target = run / "bundle"
    with whole(target) as partial:
        partial.mkdir()
        for entry in chosen:
            copy(run / entry.path, partial / Path(entry.path).name)
        how = preprocessing_of(data, spec)
        content = {
            "schema": SCHEMA,
            "name": run.resolve().name,
            "labels": list(data.class_names),
            "preprocessing": how,
            "models": [_model(entry, data) for entry in chosen],
            "samples": write_samples(data, partial) if how else [],
        }
        write_json(partial / "bundle.json", content)
        write_snippets(content, partial / "snippets")
        if target.is_dir():
            shutil.rmtree(target)
    return target


def bundle_of(run: Path) -> Path:
    """The bundle of a finished run; written now if the run is of a version that wrote none. Raises UsageError."""
    if (run / "bundle.json").is_file():
        return run
    if (run / "bundle" / "bundle.json").is_file():
        return run / "bundle"
    result, data, spec = _read(run)
    bundle = write_bundle(run, result, data, spec)
    if bundle is None:
        raise UsageError(f"{run} has no file for LiteRT or ExecuTorch.", "Optimize with --formats litert,executorch.")
    return bundle


def _read(run: Path) -> tuple[Result, Data, str]:
    from edgeprune.config import make_config, read_config_file

    result = read_result(run)
    config = make_config(read_config_file(run / "config.yaml"))
    if config.data is None:
        raise UsageError(f"{run} was started from Python and its data are unknown.", "Run optimize again.")
    data = load_data(
        config.data, image_size=config.image_size, mean=config.mean, std=config.std, long_tail=config.long_tail,
        seed=config.seed,
    )  # fmt: skip
    return result, data, config.data


def _models(entries: list[ArtifactResult]) -> list[ArtifactResult]:
    """One file a network and runtime: the reduced one where the run quantised."""
    chosen: dict[tuple[str, str], ArtifactResult] = {}
    for entry in entries:
        key = (entry.network, entry.format)
        if entry.format in RUNTIMES and (key not in chosen or chosen[key].precision == "float32"):
            chosen[key] = entry
    return list(chosen.values())


def _model(entry: ArtifactResult, data: Data) -> dict[str, Any]:
    return {
        "network": entry.network,
        "runtime": entry.format,
        "file": Path(entry.path).name,
        "precision": entry.precision,
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "input_shape": [1, *data.input_shape],
        "layout": "NCHW" if len(data.input_shape) == 3 else "",
    }
