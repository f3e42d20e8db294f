"""Our folder on the phone: runners cached by hash, and one folder for this measuring, removed when it ends.

A name given by a user never reaches the phone: files are called by their SHA-256.
"""

import fcntl
import os
import socket
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from converters.artifact import SUFFIXES, Artifact, sha256
from profilers.android.adb import OWN_GROUP, Phone
from profilers.android.serials import digest
from profilers.errors import DeviceError, MeasurementError, ScriptFailed
from profilers.store import default_path

ROOT = "/data/local/tmp/edgeprune"
# `group FOLDER`: the process group that a script noted there, if one of its processes still names the folder: by now
# the number alone may be another's. In stat behind the name: state, parent, group.
_GROUP = """group() {
  noted=$(cat "$1/group" 2>/dev/null) || return
  for place in $(grep -l "${1##*/}" /proc/[0-9]*/cmdline 2>/dev/null); do
    read -r stat 2>/dev/null < ${place%/cmdline}/stat || continue
    set -- "$1" ${stat##*) }
    [ "$4" = "$noted" ] && echo "$noted" && return
  done
}
"""
BUSY = 3
# What an earlier measuring of this computer left that was cut off: its processes are ended, its files removed. Those of
# another computer are left alone, or removed a day later; if something runs there, the phone is busy.
_CLEAN = f"""{_GROUP}mkdir -p {ROOT} && cd {ROOT} || exit 1
for old in run-*; do
  [ -d "$old" ] || continue
  running=$(group "$old")
  case "$old" in
    run-{{owner}}-*) ;;
    *) [ -z "$running" ] || exit {BUSY}
       [ -n "$(find "$old" -maxdepth 0 -mtime +0)" ] || continue;;
  esac
  [ -z "$running" ] || kill -9 -$running 2>/dev/null
  rm -rf "$old"
done
"""


class Folder:
    """A context manager: one folder on one phone, that no other process of this machine measures on meanwhile."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.name = f"run-{owner()}-{uuid.uuid4().hex[:12]}"
        self.path = f"{ROOT}/{self.name}"
        self._there: dict[str, str] = {}  # name on the phone -> SHA-256
        self._dropped: set[str] = set()  # names that the next script removes
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self._lock = _lock(self.phone.serial)
        try:
            self.renew()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.phone.run(f"rm -rf {self.path}")
        except DeviceError:
            pass  # the phone is gone: the next measuring cleans up
        finally:
            if self._lock is not None:
                self._lock.close()

    def renew(self) -> None:
        """Clean up after earlier measurings and make the folder. Raises DeviceError."""
        self._there.clear()
        try:
            self.phone.run(_CLEAN.replace("{owner}", owner()) + f"mkdir {self.path}")
        except ScriptFailed as error:
            if error.code == BUSY:
                raise DeviceError(
                    f"Another computer measures on phone {self.phone.serial}.",
                    "Wait for it to end: two at once disturb each other.",
                ) from error
            said = error.message.rpartition(": ")[2]
            raise DeviceError(
                f"No folder can be made on phone {self.phone.serial}: {ROOT}: {said}",
                "/data/local/tmp has to be writable for adb's shell and not full: see `adb shell df /data`.",
            ) from error

    def place(self, artifact: Artifact) -> str:
        """Where a file is, or will be, on the phone."""
        return f"{self.path}/{artifact.sha256[:32]}{SUFFIXES[artifact.format]}"

    def put(self, artifacts: Sequence[Artifact]) -> None:
        """Bring files there, those that are there already left out: one round trip. Raises DeviceError."""
        self.put_files({self.place(artifact).rpartition("/")[2]: artifact.path for artifact in artifacts})

    def put_files(self, files: Mapping[str, Path]) -> None:
        """Bring files by the name they get on the phone, those that are there with the same content left out."""
        absent = [str(file) for file in files.values() if not file.is_file()]
        if absent:
            raise MeasurementError(f"{', '.join(absent)} is no file", "convert the model first")
        hashes = {name: sha256(file) for name, file in files.items()}
        self._dropped -= hashes.keys()
        missing = {name: file for name, file in files.items() if self._there.get(name) != hashes[name]}
        if missing:
            push_as(self.phone, missing, self.path)
            self._there |= hashes

    def drop(self, artifacts: Sequence[Artifact]) -> None:
        """Files that are not needed any more: the next script removes them, without a round trip of its own."""
        self._dropped |= {self.place(artifact).rpartition("/")[2] for artifact in artifacts} & self._there.keys()

    def guard(self, script: str) -> str:
        """A script that can be found and ended by the next measuring if the phone is unplugged while it runs."""
        head = f"echo {OWN_GROUP} > {self.path}/group\n: {self.name}\ncd {self.path} || exit 1\n"
        if self._dropped:
            head += f"rm -f {' '.join(sorted(self._dropped))}\n"
            for name in self._dropped:
                del self._there[name]
            self._dropped = set()
        return head + script

    def end_all(self) -> None:
        """End what a script left running here. Raises DeviceError."""
        self.phone.run(f'{_GROUP}left=$(group {self.path}); [ -z "$left" ] || kill -9 -$left; true')


def owner() -> str:
    """This computer and its store of measurements, in 8 hex digits: whose folders on a phone are ours."""
    return digest(f"{socket.gethostname()} {default_path()}")[:8]


def push_as(phone: Phone, files: Mapping[str, Path], folder: str) -> None:
    """Push files under names of our own, in one round trip."""
    with tempfile.TemporaryDirectory(prefix="edgeprune-push-") as made:
        links = []
        for name, file in files.items():
            link = Path(made) / name
            link.symlink_to(file.absolute())
            links.append(link)
        phone.push(links, folder)


def _lock(serial: str) -> IO[str]:
    """A lock of this machine on a phone. Raises DeviceError when another process has it."""
    folder = default_path().parent
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / f"phone-{digest(serial)}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise DeviceError(
            f"Another edgeprune measures on phone {serial}.", "Wait for it to end: two at once disturb each other."
        ) from error
    os.set_inheritable(file.fileno(), False)
    return file
