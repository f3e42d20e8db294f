"""The native runners for phones, as `make native` builds them: programs, their libraries and their own loader."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.artifact import sha256
from profilers.errors import DeviceError, RuntimeNotInstalled
from profilers.store import default_path

VARIABLE = "EDGEPRUNE_NATIVE"
BUILD = (
    "Build them on Debian: `make native` in a source tree, else `python -m profilers.android.native_build`; "
    f"or set {VARIABLE} to where they are."
)


@dataclass(frozen=True)
class Bundle:
    """The runners for one ABI. `manifest` lists the files with their hashes, and versions."""

    abi: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def files(self) -> dict[str, Path]:
        """Name on the phone -> file."""
        return {name: self.folder / name for name in self.manifest["files"]}

    @property
    def key(self) -> str:
        """16 hex digits of the hash of everything in it."""
        return sha256(self.folder / "manifest.json")[:16]


def bundles_folder() -> Path:
    """$EDGEPRUNE_NATIVE, else build/native of the source tree, else native beside the store of measurements."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    tree = Path(__file__).parents[2]
    return tree / "build" / "native" if (tree / "pyproject.toml").is_file() else default_path().parent / "native"


def find_bundles() -> dict[str, Bundle]:
    """All bundles by ABI. Raises RuntimeNotInstalled when there is none."""
    folder = bundles_folder()
    found = {
        manifest.parent.name: Bundle(manifest.parent.name, manifest.parent, json.loads(manifest.read_text("utf-8")))
        for manifest in sorted(folder.glob("*/manifest.json"))
    }
    if not found:
        raise RuntimeNotInstalled(f"The native runners for phones are not built: nothing in {folder}.", BUILD)
    return found


def bundle_for(abis: Sequence[str]) -> Bundle:
    """The bundle for a phone. Raises DeviceError when none fits it, RuntimeNotInstalled when it is damaged."""
    bundles = find_bundles()
    bundle = next((bundles[abi] for abi in abis if abi in bundles), None)
    if bundle is None:
        raise DeviceError(
            f"The phone runs {', '.join(abis)}; the native runners are built for {', '.join(bundles)}.",
            "Use --runner app, or build them for it.",
        )
    damaged = [
        name for name, digest in bundle.manifest["files"].items()
        if not bundle.files[name].is_file() or sha256(bundle.files[name]) != digest
    ]  # fmt: skip
    if damaged:
        raise RuntimeNotInstalled(f"{bundle.folder} is damaged: {', '.join(damaged)}.", "Build it again: make native.")
    return bundle
