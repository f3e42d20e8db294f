"""What `edgeprune doctor` looks at: each thing is fine, or comes with what to do about it."""

import os
import shutil
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from edgeprune.apk.sources import app_sources
from edgeprune.errors import EnvironmentProblem
from profilers.android import conditions
from profilers.android.adb import Adb, Phone
from profilers.android.app import PACKAGE
from profilers.android.bundle import find_bundles
from profilers.android.devices import ATTACH, Attached, attached
from profilers.android.facts import Facts, read_facts
from profilers.android.installed_app import InstalledApp, installed_app
from profilers.android.native_runner import WHEELS
from profilers.database import VARIABLE
from profilers.errors import DeviceError, ProfilerError, RuntimeNotInstalled, StoreError
from profilers.store import Store, default_path

# "not": something that was asked for would fail. "absent": something that not everybody needs.
State = Literal["ok", "not", "absent"]
LEAST_FREE_MIB = 500.0
EXTRAS = {
    "litert": ("litert-torch", "ai-edge-litert"),
    "executorch": ("executorch",),
    "coreml": ("coremltools",),
    "onnx": ("onnx", "onnxscript", "onnxruntime", "onnx2torch", "onnxslim"),
    "tensorboard": ("tensorboard",),
    "distributed": ("lightning-fabric", "ray", "sqlalchemy", "psycopg"),
}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do if it is not fine."""

    what: str
    state: State
    found: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Everything, this machine first. Nothing is changed."""
    yield from _extras()
    yield _disk()
    yield from _store()
    bundles = yield from _bundles()
    try:
        adb = Adb()
        yield Finding("adb", "ok", f"{adb.version()}, {adb.program}")
        phones = attached(adb)
    except DeviceError as error:
        yield Finding("adb", "absent" if "not found" in error.message else "not", error.message, error.cure)
        return
    if not phones:
        yield Finding("phones", "absent", "adb lists no device", ATTACH)
    for phone in phones:
        yield from _phone(adb, phone, bundles)


def _extras() -> Iterator[Finding]:
    for extra, packages in EXTRAS.items():
        found, missing = [], []
        for package in packages:
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                missing.append(package)
        if missing:
            yield Finding(f"extra {extra}", "absent", f"no {', '.join(missing)}", f'pip install "edgeprune[{extra}]"')
        else:
            yield Finding(f"extra {extra}", "ok", ", ".join(found))


def _disk() -> Finding:
    place = next(folder for folder in (default_path().parent, *default_path().parent.parents) if folder.is_dir())
    free = min(shutil.disk_usage(folder).free for folder in (place, Path.cwd())) / 2**20
    state: State = "ok" if free > LEAST_FREE_MIB else "not"
    return Finding("disk", state, f"{free / 1024:.1f} GiB free", "" if state == "ok" else "Free some space.")


def _store() -> Iterator[Finding]:
    """A store of one's own is made when it is needed; a shared one is tried."""
    if not os.environ.get(VARIABLE):
        return
    try:
        yield Finding("store", "ok", Store().database.name)
    except (StoreError, RuntimeNotInstalled) as error:
        yield Finding("store", "not", error.message, error.cure)


def _bundles() -> Any:
    try:
        bundles = find_bundles()
    except RuntimeNotInstalled as error:
        yield Finding("native runners", "absent", error.message, error.cure)
        return {}
    for abi, bundle in bundles.items():
        ours = {wheel: bundle.manifest["versions"].get(wheel) for wheel in WHEELS.values()}
        differ = [
            f"{wheel} {told} instead of {here}"
            for wheel, told in ours.items()
            if (here := _installed(wheel)) not in (None, told)
        ]
        text = ", ".join(f"{wheel} {told}" for wheel, told in ours.items())
        if differ:
            yield Finding(f"native runners {abi}", "not", "; ".join(differ), "Build them again: make native.")
        else:
            yield Finding(f"native runners {abi}", "ok", text)
    return bundles


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _phone(adb: Adb, phone: Attached, bundles: dict[str, Any]) -> Iterator[Finding]:
    name = f"phone {phone.serial}"
    if not phone.ready:
        yield Finding(name, "not", phone.state, phone.cure)
        return
    try:
        behind = Phone(adb, phone.serial)
        facts, now = read_facts(behind), conditions.snapshot(behind)
        app = installed_app(behind, PACKAGE)
    except ProfilerError as error:
        yield Finding(name, "not", error.message, error.cure)
        return
    mark = ", emulated: not a phone" if facts.emulated else ""
    yield Finding(name, "ok", f"{facts.name}, Android {facts.android}, {facts.soc}{mark}")
    yield _space(name, facts)
    yield _battery(name, now)
    yield _heat(name, now)
    yield from _switches(name, now)
    if bundles:
        fits = next((abi for abi in facts.abis if abi in bundles), None)
        fix = "" if fits else f"The runners are for {', '.join(bundles)}: use --runner app."
        yield Finding(f"{name}, runners", "ok" if fits else "not", fits or ", ".join(facts.abis), fix)
    yield _app(f"{name}, app", app)


def _app(what: str, app: InstalledApp | None) -> Finding:
    """Its version decides which runtimes it has: those that this version's sources name."""
    if app is None:
        return Finding(
            what, "absent", f"{PACKAGE} is not installed", "Only --runner app needs it: edgeprune app install."
        )
    here = _installed("edgeprune")
    if app.version != here:
        fix = "Install the app that belongs to this edgeprune: edgeprune app install."
        return Finding(what, "not", f"{PACKAGE} is {app.version or 'of no version'}, edgeprune here is {here}", fix)
    if not app.debuggable:
        fix = "Only --runner app needs them: adb uninstall it, then edgeprune app install without --keystore."
        return Finding(what, "not", f"{PACKAGE} {app.version} is a release build: adb cannot reach its files", fix)
    runtimes = _app_runtimes()
    return Finding(what, "ok", f"{PACKAGE} {app.version}{f', {runtimes}' if runtimes else ''}")


APP_RUNTIMES = {"tensorflow-lite": "ai-edge-litert", "executorch-android": "executorch"}


def _app_runtimes() -> str:
    """The app's runtimes beside those that files are made and proved with here; "" where its sources are not."""
    try:
        project = xml.parse(app_sources() / "pom.xml")
    except (EnvironmentProblem, OSError, xml.ParseError):
        return ""
    found = []
    for dependency in project.findall(".//{*}dependency"):
        name, told = dependency.findtext("{*}artifactId", ""), dependency.findtext("{*}version", "")
        if wheel := APP_RUNTIMES.get(name):
            optional = " if built with --executorch" if wheel == "executorch" else ""
            here = f"{wheel} {_installed(wheel) or '(not installed)'}"
            found.append(f"{name} {told}{optional} (files are made for {here})")
    return ", ".join(found)


def _space(name: str, facts: Facts) -> Finding:
    free = facts.free_mib
    if free is None:
        return Finding(f"{name}, space", "absent", "the phone does not tell", "")
    fine = free > LEAST_FREE_MIB
    return Finding(
        f"{name}, space", "ok" if fine else "not", f"{free:.0f} MiB free", "" if fine else "Free some space."
    )


def _battery(name: str, now: dict[str, Any]) -> Finding:
    percent = now["battery_percent"]
    if percent is None:
        return Finding(f"{name}, battery", "absent", "the phone does not tell", "")
    fine = percent >= conditions.MIN_BATTERY
    fix = "" if fine else f"Charge it to {conditions.MIN_BATTERY} %: measurements wait for that."
    return Finding(f"{name}, battery", "ok" if fine else "not", f"{percent} %", fix)


def _heat(name: str, now: dict[str, Any]) -> Finding:
    hot = [reason for reason in conditions.worth_waiting(now) if reason.startswith("hot")]
    told = "the phone does not tell" if now["battery_c"] is None else f"{now['battery_c']:.1f} °C"
    fix = "Let it cool: measurements wait for that." if hot else ""
    return Finding(f"{name}, temperature", "not" if hot else "ok", "; ".join(hot) or told, fix)


def _switches(name: str, now: dict[str, Any]) -> Iterator[Finding]:
    if now["low_power"]:
        yield Finding(f"{name}, battery saver", "not", "on", "Switch it off: it lowers the clocks.")
    if now["awake"] is False:
        yield Finding(f"{name}, screen", "not", "off", "Switch it on, and let it stay on while charging.")
