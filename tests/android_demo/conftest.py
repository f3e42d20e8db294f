"""Fixtures of the app's tests: the finished run of the fast settings, its bundle, Python's golden files."""

import shutil
from pathlib import Path

import pytest

from edgeprune.bundle import bundle_of
from tests.android_demo.golden import (
    write_bundle_answers,
    write_frames,
    write_pictures,
    write_requests,
    write_statistics,
)
from tests.edgeprune.conftest import cli, fast, fast_run, given, once, trained

__all__ = ["cli", "fast", "fast_run", "given", "trained"]


@pytest.fixture(scope="session")
def bundle(fast_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a finished run on the digits."""

    def make(folder: Path) -> None:
        shutil.copytree(fast_run, folder / "run")
        bundle_of(folder / "run")

    return once(tmp_path_factory, "bundled", make) / "run" / "bundle"


@pytest.fixture(scope="session")
def golden(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Python makes of real pictures and models."""

    def make(folder: Path) -> None:
        write_pictures(folder / "golden" / "pictures")
        write_frames(folder / "golden" / "frames")
        write_bundle_answers(bundle, folder / "golden" / "bundle")
        write_requests(folder / "golden")
        write_statistics(folder / "golden")

    return once(tmp_path_factory, "golden", make) / "golden"
