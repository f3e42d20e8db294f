"""Installed apps: pm, dumpsys package, and the manifest inside an APK."""

import io
import shutil
import struct
import zipfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.phone.phone import Phone
    from tests.phone.programs import Answer, Call

STRING_POOL, START_ELEMENT = 0x0001, 0x0102
UTF8 = 0x100


class Manifest(NamedTuple):
    """What an APK says of itself."""

    package: str
    version: str = ""
    debuggable: bool = False


class App(NamedTuple):
    """An installed app: where its APK lies, and what that says."""

    place: str
    manifest: Manifest


def pm(phone: "Phone", call: "Call") -> "Answer":
    """install FILE | install -S SIZE | uninstall | path | list packages."""
    from tests.phone.programs import Answer

    verb, *rest = call.arguments[1:]
    if verb == "install":
        try:
            apk = call.stdin if "-S" in rest else phone.path(rest[-1]).read_bytes()
        except OSError:
            return Answer(err=f"Error: Unable to open file: {rest[-1]}\n", code=1)
        manifest = read_manifest(apk)
        if manifest is None:
            return Answer("Failure [INSTALL_PARSE_FAILED_NOT_APK: Failed to parse APK]\n", code=1)
        if manifest.package in phone.packages and "-r" not in rest:
            reason = (
                f"INSTALL_FAILED_ALREADY_EXISTS: Attempt to re-install {manifest.package} without first uninstalling."
            )
            return Answer(f"Failure [{reason}]\n", code=1)
        install(phone, manifest, apk)
        return Answer("Success\n")
    if verb == "uninstall":
        if phone.packages.pop(rest[-1], None) is None:
            return Answer("Failure [DELETE_FAILED_INTERNAL_ERROR]\n", code=1)
        for folder in (f"/data/app/{rest[-1]}-1", f"/data/data/{rest[-1]}"):
            shutil.rmtree(phone.path(folder), ignore_errors=True)
        return Answer("Success\n")
    if verb == "path":
        app = phone.packages.get(rest[-1])
        return Answer(f"package:{app.place}\n") if app else Answer(code=1)
    if verb == "list" and rest[:1] == ["packages"]:
        return Answer("".join(f"package:{name}\n" for name in sorted(phone.packages)))
    return Answer(err=f"Unknown command: {verb}\n", code=255)


def install(phone: "Phone", manifest: Manifest, apk: bytes = b"") -> None:
    """Put an app on the phone."""
    place = f"/data/app/{manifest.package}-1/base.apk"
    phone.path(place).parent.mkdir(parents=True, exist_ok=True)
    phone.path(place).write_bytes(apk)
    phone.path(f"/data/data/{manifest.package}/files").mkdir(parents=True, exist_ok=True)
    phone.packages[manifest.package] = App(place, manifest)


def describe(phone: "Phone", name: str) -> str:
    """What `dumpsys package NAME` prints, as far as it is of use here (frameworks/base, Settings.java)."""
    app = phone.packages.get(name)
    if app is None:
        return f"Unable to find package: {name}\n"
    flags = " ".join([*(["DEBUGGABLE"] if app.manifest.debuggable else []), "HAS_CODE", "ALLOW_CLEAR_USER_DATA"])
    return (
        f"Packages:\n  Package [{name}] (5c4d1e0):\n    userId=10123\n    codePath={app.place.rpartition('/')[0]}\n"
        f"    versionCode=1 minSdk=24 targetSdk=34\n    versionName={app.manifest.version}\n"
        f"    flags=[ {flags} ]\n"
    )


def read_manifest(apk: bytes) -> Manifest | None:
    """The binary AndroidManifest.xml of an APK; None if there is none. Source: frameworks/base, ResourceTypes.h."""
    try:
        return _manifest(zipfile.ZipFile(io.BytesIO(apk)).read("AndroidManifest.xml"))
    except (zipfile.BadZipFile, KeyError, struct.error, IndexError):
        return None


def _manifest(xml: bytes) -> Manifest | None:
    strings: list[str] = []
    found: dict[str, str | int] = {}
    at = 8
    while at + 8 <= len(xml):
        kind, head, size = struct.unpack_from("<HHI", xml, at)
        if kind == STRING_POOL:
            strings = _strings(xml, at, head)
        elif kind == START_ELEMENT:
            (count,) = struct.unpack_from("<H", xml, at + head + 12)
            for i in range(count):  # namespace, name, text (-1: none), size and type, data
                _, name, text, _, data = struct.unpack_from("<5i", xml, at + head + 20 + 20 * i)
                found.setdefault(strings[name], strings[text] if text >= 0 else data)
        at += size or 8
    if "package" not in found:
        return None
    return Manifest(str(found["package"]), str(found.get("versionName", "")), bool(found.get("debuggable", 0)))


def _strings(xml: bytes, at: int, head: int) -> list[str]:
    count, _, flags, start, _ = struct.unpack_from("<5I", xml, at + 8)
    found = []
    for i in range(count):
        place = at + start + struct.unpack_from("<I", xml, at + head + 4 * i)[0]
        if flags & UTF8:
            place += 2 if xml[place] & 0x80 else 1  # length in characters, then in bytes
            length = xml[place]
            found.append(xml[place + 1 : place + 1 + length].decode("utf-8", "replace"))
        else:
            (length,) = struct.unpack_from("<H", xml, place)
            found.append(xml[place + 2 : place + 2 + 2 * length].decode("utf-16le", "replace"))
    return found
