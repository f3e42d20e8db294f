"""What an APK really holds: signature, activities, native libraries, models, size. Nothing is taken from the build."""

import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgeprune.apk.tools import run
from edgeprune.errors import EnvironmentProblem

_PAGE_16K = 16384
_ELF_LOAD = 1
_MODELS = (".tflite", ".pte")


@dataclass(frozen=True)
class ApkFacts:
    """Size in bytes; ABIs and their libraries; models as stored; `small_pages`: libraries that a phone with pages of
    16 KiB runs only in Android's compatibility mode, since their segments are aligned to less."""

    path: Path
    size_bytes: int
    package: str
    version: str
    min_sdk: int
    debuggable: bool
    activities: tuple[str, ...]
    native: dict[str, tuple[str, ...]]
    models: tuple[str, ...]
    small_pages: tuple[str, ...]

    def __str__(self) -> str:
        libraries = "; ".join(f"{abi}: {', '.join(names)}" for abi, names in self.native.items())
        lines = [
            f"{self.path}: {self.size_bytes / 1e6:.1f} MB, {self.package} {self.version}, API {self.min_sdk} and up",
            f"libraries: {libraries}",
            f"models: {', '.join(self.models) or 'none'}",
        ]
        if not any("executorch" in name for names in self.native.values() for name in names):
            lines.append("ExecuTorch: not in this build, .pte files are left out")
        if self.small_pages:
            lines.append(
                "phones with pages of 16 KiB need Android's compatibility mode for " + ", ".join(self.small_pages)
            )
        return "\n".join(lines)


def check_apk(path: Path) -> ApkFacts:
    """Verify the signature and look into the file. Raises EnvironmentProblem for anything that Android would refuse."""
    run(["apksigner", "verify", "--min-sdk-version", "24", path], what="The app's signature")
    badging = run(["aapt2", "dump", "badging", path], what="The app's manifest")
    native: dict[str, tuple[str, ...]] = {}
    models, small = [], []
    with zipfile.ZipFile(path) as apk:
        for entry in apk.infolist():
            if entry.filename.endswith(_MODELS):
                models.append(entry.filename)
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise EnvironmentProblem(f"{path}: {entry.filename} is compressed.", "Please report this.")
            if entry.filename.startswith("lib/"):
                _, abi, name = entry.filename.split("/")
                native[abi] = (*native.get(abi, ()), name)
                if min(load_alignments(apk.read(entry))) < _PAGE_16K:
                    small.append(f"{abi}/{name}")
        with apk.open("classes.dex") as dex:
            activities = _activities(dex.read(), path)
    return ApkFacts(
        path,
        path.stat().st_size,
        _found(r"package: name='([^']+)'", badging),
        _found(r"versionName='([^']+)'", badging),
        int(_found(r"sdkVersion:'(\d+)'", badging)),
        "application-debuggable" in badging,
        activities,
        native,
        tuple(models),
        tuple(small),
    )


def load_alignments(library: bytes) -> list[int]:
    """The alignments of the LOAD segments of a 64-bit little-endian ELF file, bytes."""
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (start,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    segments = [library[start + i * size : start + (i + 1) * size] for i in range(count)]
    return [struct.unpack_from("<Q", s, 48)[0] for s in segments if struct.unpack_from("<I", s)[0] == _ELF_LOAD]


def _activities(dex: bytes, path: Path) -> tuple[str, ...]:
    """Classes of the dex whose superclass is android.app.Activity, by dexdump."""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".dex") as file:
        file.write(dex)
        file.flush()
        text = run(["dexdump", file.name], what=f"The classes of {path}")
    pairs = re.findall(r"Class descriptor\s*: 'L([^;]+);'.*?Superclass\s*: 'L([^;]+);'", text, re.DOTALL)
    return tuple(sorted(name.replace("/", ".") for name, parent in pairs if parent == "android/app/Activity"))


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""
