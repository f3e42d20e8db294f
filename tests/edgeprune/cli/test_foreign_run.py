"""A run directory of somebody else: nothing outside of it is read because its result.json says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result


@pytest.mark.parametrize("place", ["../outside.tflite", "artifacts/../../outside.tflite", "/absolute/outside.tflite"])
def test_paths_that_leave_the_run_are_refused(
    cli: Callable[..., Result], fast_run: Path, tmp_path: Path, place: str
) -> None:
    run = shutil.copytree(fast_run, tmp_path / "run")
    shutil.copy(run / "artifacts" / "pruned.tflite", tmp_path / "outside.tflite")
    found = json.loads((run / "result.json").read_text())
    found["artifacts"][-1]["path"] = place
    (run / "result.json").write_text(json.dumps(found))
    for words in (("profile", "run"), ("check", "run"), ("compare", "run")):
        done = cli(*words, "--json")
        assert done.exit_code == 2, (words, done.stderr)
        assert "outside of the run" in json.loads(done.stdout)["error"]["message"], words
