"""Where the temporary files of a run go: into its own folder, so that even a kill leaves none behind for good."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeprune.files import disk_trouble


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Temporary files of this process and of those that it starts go to `folder`, which vanishes at the end.

    What a killed process left there vanishes at the start. Raises EnvironmentProblem.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with disk_trouble(folder):
        folder.mkdir(parents=True)
    before, named = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder.resolve())
    try:
        yield
    finally:
        tempfile.tempdir = before
        if named is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = named
        shutil.rmtree(folder, ignore_errors=True)
