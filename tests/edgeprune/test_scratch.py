"""Temporary files of a run, and what a kill leaves."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgeprune.config import Config
from edgeprune.run import Run
from edgeprune.scratch import scratch


def test_temporary_files_go_to_the_run_and_vanish(tmp_path: Path) -> None:
    folder, before = tmp_path / ".scratch", tempfile.gettempdir()
    folder.mkdir()
    (folder / "left by a kill").touch()
    with scratch(folder):
        assert not list(folder.iterdir())
        assert Path(tempfile.mkdtemp()).parent == folder
        program = "import tempfile; print(tempfile.gettempdir())"
        assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == str(folder)
    assert not folder.exists()
    assert tempfile.gettempdir() == before
    assert os.environ.get("TMPDIR") in (None, before)


def test_files_half_written_by_a_killed_process_are_removed(tmp_path: Path) -> None:
    config, path = Config(model="builtin:resnet8", macs="50%"), tmp_path / "run"
    Run.open(path, config, resume=False).close()
    (path / "state" / ".widths.json.77.partial").touch()
    (path / "artifacts" / ".pruned.mlpackage.77.partial").mkdir()
    (path / "artifacts" / ".pruned.mlpackage.77.partial" / "Manifest.json").touch()
    Run.open(path, config, resume=True).close()
    assert not list(path.rglob("*.partial"))


def stopped(folder: Path) -> None:
    """A run that is interrupted."""
    with scratch(folder):
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_none(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path / ".scratch")
    assert not (tmp_path / ".scratch").exists()
    assert tempfile.gettempdir() == before
