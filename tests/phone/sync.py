"""adb's file service: push, pull, list, stat. Source: system/core/adb/SYNC.TXT and file_sync_protocol.h."""

import errno
import os
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tests.phone.sandbox import WRITABLE
from tests.phone.wire import Stream

if TYPE_CHECKING:
    from tests.phone.phone import Phone

CHUNK = 64 * 1024
SHELL_UID = 2000
STAT_V2 = struct.Struct("<IQQIIIIQqqq")


async def serve(phone: "Phone", stream: Stream) -> None:
    """Answer requests until QUIT. Raises EOFError when the peer is gone."""
    while True:
        request, length = struct.unpack("<4sI", await stream.exactly(8))
        if request == b"QUIT":
            return
        name = (await stream.exactly(length)).decode("utf-8", "surrogateescape")
        if request == b"STAT":
            found = _look(phone, name, follow=False)
            await stream.send(b"STAT" + _stat_v1(found))
        elif request in (b"STA2", b"LST2"):
            await stream.send(request + _stat_v2(_look(phone, name, follow=request == b"STA2")))
        elif request in (b"LIST", b"LIS2"):
            await stream.send(_listing(phone, name, v2=request == b"LIS2"))
        elif request == b"SEND":
            name, mode_text = name.rsplit(",", 1)
            await _take(phone, stream, name, int(mode_text))
        elif request == b"RECV":
            await _give(phone, stream, name)
        else:
            await _fail(stream, f"unknown command {request!r}")
            return


async def _fail(stream: Stream, reason: str) -> None:
    message = reason.encode()
    await stream.send(b"FAIL" + struct.pack("<I", len(message)) + message)


def _look(phone: "Phone", name: str, follow: bool) -> os.stat_result | int:
    """What is there, or the error number."""
    try:
        parent, last = os.path.split(os.path.normpath("/" + name))
        return os.stat(phone.path(parent) / last, follow_symlinks=follow)
    except OSError as error:
        return error.errno or errno.EIO


def _stat_v1(found: os.stat_result | int) -> bytes:
    if isinstance(found, int):
        return bytes(12)
    return struct.pack("<III", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime))


def _stat_v2(found: os.stat_result | int) -> bytes:
    if isinstance(found, int):
        return STAT_V2.pack(found, *[0] * 10)
    times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
    owner = (found.st_nlink, SHELL_UID, SHELL_UID, found.st_size)
    return STAT_V2.pack(0, found.st_dev, found.st_ino, found.st_mode, *owner, *times)


def _listing(phone: "Phone", name: str, v2: bool) -> bytes:
    try:
        folder = phone.path(name)
        names = [".", "..", *sorted(os.listdir(folder))]
    except OSError:
        names = []
    parts = []
    for entry in names:
        found, raw = _look(phone, f"{name}/{entry}", follow=False), os.fsencode(entry)
        if v2:
            parts.append(b"DNT2" + _stat_v2(found) + struct.pack("<I", len(raw)) + raw)
        elif not isinstance(found, int):
            parts.append(b"DENT" + _stat_v1(found) + struct.pack("<I", len(raw)) + raw)
    return b"".join(parts) + b"DONE" + bytes(72 if v2 else 16)


async def _give(phone: "Phone", stream: Stream, name: str) -> None:
    sent = 0
    try:
        with phone.path(name).open("rb") as file:
            while data := file.read(CHUNK):
                phone.may_vanish("pull", sent)
                await stream.send(b"DATA" + struct.pack("<I", len(data)) + data)
                sent += len(data)
            phone.may_vanish("pull", sent)
    except ConnectionError:
        raise
    except OSError as error:
        await _fail(stream, f"open failed: {error.strerror}")
        return
    await stream.send(b"DONE" + bytes(4))


def _target(phone: "Phone", name: str) -> Path:
    """Where a pushed file goes. Raises OSError as the phone would."""
    if phone.faults.read_only and name.startswith("/data/local/tmp"):
        raise OSError(errno.EROFS, "Read-only file system")
    if not any(name == place or name.startswith(place + "/") for place in WRITABLE):
        raise PermissionError(errno.EACCES, "Permission denied")
    path = phone.path(name)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


async def _take(phone: "Phone", stream: Stream, name: str, mode: int) -> None:
    """Receive a file, or a link. After an error the rest must still be read, and thrown away."""
    error, path, file = "", None, None
    link, received = b"", 0
    try:
        try:
            path = _target(phone, name)
            file = None if stat.S_ISLNK(mode) else path.open("wb")
        except OSError as problem:
            error = f"couldn't create file: {problem.strerror}"
        while True:
            kind, number = struct.unpack("<4sI", await stream.exactly(8))
            if kind == b"DONE":
                break
            data = await stream.exactly(number)
            received += len(data)
            phone.may_vanish("push", received)
            if stat.S_ISLNK(mode):
                link += data
            elif not error and file:
                error = _write(phone, file, data)
        if error:
            await _fail(stream, error)
        elif path and stat.S_ISLNK(mode):
            path.unlink(missing_ok=True)
            path.symlink_to(os.fsdecode(link.rstrip(b"\0")))
            await stream.send(b"OKAY" + bytes(4))
        elif path and file:
            file.close()
            path.chmod(mode & 0o777 or 0o644)
            os.utime(path, (number, number))
            path, file = None, None
            await stream.send(b"OKAY" + bytes(4))
    finally:
        if file and path:  # adbd leaves no half of a file behind
            file.close()
            path.unlink(missing_ok=True)


def _write(phone: "Phone", file: BinaryIO, data: bytes) -> str:
    """Write, or say why not."""
    if phone.faults.free_bytes is not None:
        if phone.faults.free_bytes < len(data):
            return "write failed: No space left on device"
        phone.faults.free_bytes -= len(data)
    file.write(data)
    return ""
