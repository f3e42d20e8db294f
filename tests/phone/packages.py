"""Installed apps: pm, and the name inside an APK."""

import io
import shutil
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.phone.phone import Phone
    from tests.phone.programs import Answer, Call

STRING_POOL, START_ELEMENT = 0x0001, 0x0102
UTF8 = 0x100


def pm(phone: "Phone", call: "Call") -> "Answer":
    """install FILE | install -S SIZE | uninstall | path | list packages."""
    from tests.phone.programs import Answer

    verb, *rest = call.arguments[1:]
    if verb == "install":
        try:
            apk = call.stdin if "-S" in rest else phone.path(rest[-1]).read_bytes()
        except OSError:
            return Answer(err=f"Error: Unable to open file: {rest[-1]}\n", code=1)
        name = package_name(apk)
        if name is None:
            return Answer("Failure [INSTALL_PARSE_FAILED_NOT_APK: Failed to parse APK]\n", code=1)
        if name in phone.packages and "-r" not in rest:
            reason = f"INSTALL_FAILED_ALREADY_EXISTS: Attempt to re-install {name} without first uninstalling."
            return Answer(f"Failure [{reason}]\n", code=1)
        install(phone, name, apk)
        return Answer("Success\n")
    if verb == "uninstall":
        if phone.packages.pop(rest[-1], None) is None:
            return Answer("Failure [DELETE_FAILED_INTERNAL_ERROR]\n", code=1)
        for folder in (f"/data/app/{rest[-1]}-1", f"/data/data/{rest[-1]}"):
            shutil.rmtree(phone.path(folder), ignore_errors=True)
        return Answer("Success\n")
    if verb == "path":
        place = phone.packages.get(rest[-1])
        return Answer(f"package:{place}\n") if place else Answer(code=1)
    if verb == "list" and rest[:1] == ["packages"]:
        return Answer("".join(f"package:{name}\n" for name in sorted(phone.packages)))
    return Answer(err=f"Unknown command: {verb}\n", code=255)


def install(phone: "Phone", name: str, apk: bytes = b"") -> None:
    """Put an app on the phone."""
    place = f"/data/app/{name}-1/base.apk"
    phone.path(place).parent.mkdir(parents=True, exist_ok=True)
    phone.path(place).write_bytes(apk)
    phone.path(f"/data/data/{name}/files").mkdir(parents=True, exist_ok=True)
    phone.packages[name] = place


def package_name(apk: bytes) -> str | None:
    """`package` of the first element of the binary AndroidManifest.xml; None if there is none.

    Source: frameworks/base, ResourceTypes.h.
    """
    try:
        xml = zipfile.ZipFile(io.BytesIO(apk)).read("AndroidManifest.xml")
        return _package(xml)
    except (zipfile.BadZipFile, KeyError, struct.error, IndexError):
        return None


def _package(xml: bytes) -> str | None:
    strings: list[str] = []
    at = 8
    while at + 8 <= len(xml):
        kind, head, size = struct.unpack_from("<HHI", xml, at)
        if kind == STRING_POOL:
            strings = _strings(xml, at, head)
        elif kind == START_ELEMENT:
            (count,) = struct.unpack_from("<H", xml, at + head + 12)
            attributes = (struct.unpack_from("<iii", xml, at + head + 20 + 20 * i) for i in range(count))
            return next((strings[raw] for _, name, raw in attributes if strings[name] == "package"), None)
        at += size or 8
    return None


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
