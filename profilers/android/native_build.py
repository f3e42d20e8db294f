"""Build the native runners with all they need: `make native`, or `python -m profilers.android.native_build`.

Each ABI gets a folder with two programs, the shared libraries of the PyPI wheels, glibc with its loader, the licences
of all of it, and manifest.json with the SHA-256 of every file. Nothing here needs root.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profilers.android.bundle import bundles_folder
from profilers.errors import ProfilerError, RuntimeNotInstalled

SOURCES = Path(__file__).parent / "native"
COMMON = ("failure", "selfcheck", "process", "alive", "options", "series", "tensors", "report", "batch", "main")
WHEELS = ("ai-edge-litert", "executorch")
LITERT_LIBRARIES = ("ai_edge_litert/libLiteRt.so",)
EXECUTORCH_LIBRARIES = tuple(
    f"executorch/lib/libexecutorch{name}.so"
    for name in ("_kernels_optimized", "_kernels_quantized", "_backend_xnnpack", "_threadpool", "")
)
ENVIRONMENT = 3  # exit code


@dataclass(frozen=True)
class Target:
    """An ABI by Android's name: compilers start with `prefix`, `debian` brings them."""

    abi: str
    machine: str
    prefix: str
    loader: str
    debian: str


TARGETS = (
    Target("arm64-v8a", "aarch64", "aarch64-linux-gnu-", "ld-linux-aarch64.so.1", "g++-aarch64-linux-gnu"),
    Target("x86_64", "x86_64", "", "ld-linux-x86-64.so.2", "g++"),
)


def build(target: Target, output: Path) -> Path:
    """Make `output`/abi, whole or not at all. Raises RuntimeNotInstalled when a compiler or a wheel is missing."""
    for compiler in ("gcc", "g++"):
        if shutil.which(target.prefix + compiler) is None:
            raise RuntimeNotInstalled(
                f"{target.prefix}{compiler} is missing: the runners for {target.abi} cannot be built.",
                f"On Debian: sudo apt-get install {target.debian}",
            )
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=f".{target.abi}-") as made:
        wheels = _wheels(target, Path(made) / "wheels")
        folder = Path(made) / target.abi
        folder.mkdir()
        _compile(target, wheels, Path(made), folder)
        libraries = [wheels / name for name in (*LITERT_LIBRARIES, *EXECUTORCH_LIBRARIES)]
        system = _system_libraries(target, [*libraries, *folder.iterdir()])
        for library in (*libraries, *system):
            shutil.copy(library, folder / library.name)
            (folder / library.name).chmod(0o755)
        (folder / "licences.txt").write_text(_licences(wheels, system), encoding="utf-8")
        (folder / "manifest.json").write_text(json.dumps(_manifest(target, folder), indent=1) + "\n", encoding="utf-8")
        place = output / target.abi
        if place.exists():
            os.rename(place, Path(made) / "old")
        os.rename(folder, place)
    return place


def _run(*command: str | Path) -> str:
    """Raises ProfilerError with what the command said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProfilerError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _version(wheel: str) -> str:
    try:
        return importlib.metadata.version(wheel)
    except importlib.metadata.PackageNotFoundError as error:
        raise RuntimeNotInstalled(
            f"{wheel} is not installed: a phone gets the version that converts here.", f"pip install {wheel}"
        ) from error


def _wheels(target: Target, folder: Path) -> Path:
    """The installed packages, if they are for this ABI; else those of its wheels, unpacked."""
    pins = [f"{wheel}=={_version(wheel)}" for wheel in WHEELS]
    if sysconfig.get_platform() == f"linux-{target.machine}":
        return Path(str(importlib.metadata.distribution(WHEELS[0]).locate_file("")))
    platforms = [word for glibc in (27, 28) for word in ("--platform", f"manylinux_2_{glibc}_{target.machine}")]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    _run(*pip, "--only-binary=:all:", *platforms, "--python-version", "3.11", "--dest", folder, *pins)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def _compile(target: Target, wheels: Path, objects: Path, folder: Path) -> None:
    c = (f"{target.prefix}gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
    common = [objects / f"{name}.o" for name in COMMON]
    for name, result in zip(COMMON, common, strict=True):
        _run(*c, "-c", SOURCES / f"{name}.c", "-o", result)
    version = f'-DLITERT_VERSION="{_version("ai-edge-litert")}"'
    _run(*c, "-s", version, SOURCES / "litert_run.c", *common, "-ldl", "-lm", "-o", folder / "litert_run")
    include = wheels / "executorch/include"
    c_plus_plus: tuple[str | Path, ...] = (
        *(f"{target.prefix}g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-s"),
        *("-isystem", include, "-isystem", include / "executorch/runtime/core/portable_type/c10"),
        *("-DC10_USING_CUSTOM_GENERATED_MACROS", f'-DEXECUTORCH_VERSION="{_version("executorch")}"'),
    )
    libraries = [wheels / name for name in EXECUTORCH_LIBRARIES]
    link: tuple[str | Path, ...] = ("-Wl,--no-as-needed", *libraries, "-Wl,--allow-shlib-undefined", "-lm")
    _run(*c_plus_plus, SOURCES / "executorch_run.cpp", *common, *link, "-o", folder / "executorch_run")


def _system_libraries(target: Target, programs: Sequence[Path]) -> list[Path]:
    """The loader, and what these programs and libraries need besides each other, from where the compiler links it.

    Raises RuntimeNotInstalled.
    """
    found: dict[str, Path] = {}
    missing = {target.loader}.union(*(_needed(target, program) for program in programs))
    missing -= {program.name for program in programs}
    while missing:
        name = missing.pop()
        found[name] = Path(_run(f"{target.prefix}gcc", f"-print-file-name={name}").strip())
        if not found[name].is_absolute():
            cure = f"On Debian: sudo apt-get install {target.debian}"
            raise RuntimeNotInstalled(f"{target.prefix}gcc knows no {name}.", cure)
        missing |= _needed(target, found[name]) - found.keys()
    return [found[name] for name in sorted(found)]


def _needed(target: Target, program: Path) -> set[str]:
    """The libraries that a program or library asks the loader for."""
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", _run(f"{target.prefix}readelf", "--dynamic", "--wide", program)))


def _licences(wheels: Path, system: Sequence[Path]) -> str:
    """The licence texts of everything in the folder."""
    texts = {"litert_run, executorch_run: EdgePrune": "Apache License 2.0\n"}
    for wheel in WHEELS:
        name = wheel.replace("-", "_")
        for file in sorted(wheels.glob(f"{name}-*.dist-info/licenses/*")):
            texts[f"{wheel} {_version(wheel)}: {file.name}"] = file.read_text(encoding="utf-8")
    for package, names in _debian_packages(system).items():
        copyright_ = Path("/usr/share/doc") / package / "copyright"
        texts[f"{', '.join(names)}: Debian package {package}"] = copyright_.read_text(
            encoding="utf-8", errors="replace"
        )
    rule = "=" * 80
    return "\n".join(f"{rule}\n{title}\n{rule}\n\n{text}" for title, text in texts.items())


def _debian_packages(files: Sequence[Path]) -> dict[str, list[str]]:
    """Which package brought which library. Raises RuntimeNotInstalled where none did."""
    if shutil.which("dpkg") is None:
        raise RuntimeNotInstalled(
            "The licences of glibc and libstdc++ have to go with them, and only Debian's packages tell them here.",
            "Build on Debian or Ubuntu; the result runs anywhere.",
        )
    found: dict[str, list[str]] = {}
    for file in files:
        places = (file.resolve(), Path(str(file.resolve()).removeprefix("/usr")))
        owner = next((said for place in places if (said := _owner(place))), None)
        if owner is None:
            raise RuntimeNotInstalled(
                f"No Debian package owns {file}: its licence is not known.", "Use Debian's compiler."
            )
        found.setdefault(owner, []).append(file.name)
    return found


def _owner(file: Path) -> str:
    said = subprocess.run(["dpkg", "-S", file], capture_output=True, text=True, check=False).stdout
    return said.partition(":")[0]


def _manifest(target: Target, folder: Path) -> dict[str, object]:
    """What is in it, by which everybody who uses it finds his way."""
    return {
        "abi": target.abi,
        "loader": target.loader,
        "versions": {wheel: _version(wheel) for wheel in WHEELS},
        "files": {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.iterdir())
            if file.name != "manifest.json"
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Build all ABIs, or those that are named."""
    parser = argparse.ArgumentParser(prog="profilers.android.native_build", description=__doc__)
    parser.add_argument("abi", nargs="*", choices=[[], *(target.abi for target in TARGETS)], default=[])
    parser.add_argument("-o", "--output", type=Path, default=bundles_folder())
    options = parser.parse_args(arguments)
    code = 0
    for target in TARGETS:
        if options.abi and target.abi not in options.abi:
            continue
        try:
            place = build(target, options.output)
        except ProfilerError as error:
            print(f"{error.message}\n{error.cure}", file=sys.stderr)
            code = ENVIRONMENT
            continue
        size = sum(file.stat().st_size for file in place.iterdir())
        print(f"{place}: {size / 2**20:.1f} MiB")
    return code


if __name__ == "__main__":
    sys.exit(main())
