"""Core ML where there is no Mac: a folder to take to one, with the packages and the script that measures them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from converters.artifact import Artifact
from edgeprune.errors import UsageError
from edgeprune.files import whole, write_text
from profilers.apple.script import bench_script

SCRIPT = "bench_ios.py"


def write_bench(subjects: Mapping[str, Artifact], folder: Path) -> Path:
    """Write `folder`, whole or not at all: bench_ios.py and these packages.

    Raises UsageError if it exists or if names clash.
    """
    stems: dict[str, str] = {}
    for name in subjects:
        stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name.removesuffix(".mlpackage"))
        if stem in stems:
            raise UsageError(
                f"{stems[stem]} and {name} would both be {stem}.mlpackage in {folder}.", "Rename one of them."
            )
        stems[stem] = name
    if folder.exists():
        raise UsageError(f"{folder} is there already.", "Remove it, or name another with --output.")
    with whole(folder) as partial:
        partial.mkdir(parents=True)
        for stem, name in stems.items():
            shutil.copytree(subjects[name].path, partial / f"{stem}.mlpackage")
        write_text(partial / SCRIPT, bench_script())
    return folder
