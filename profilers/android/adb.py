"""The adb program, and one phone behind it. No argument passes through a shell of this machine; nothing waits forever.

Everything that runs on the phone is a script whose end is told by a marker with the exit code, so that phones without
adb's shell protocol v2 (which lose exit codes) work like all others, and a lost connection is never taken for success.
"""

import os
import re
import selectors
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from profilers.errors import ConnectionLost, DeviceError, ScriptFailed
from profilers.side_by_side import check, pause

OLDEST = (1, 0, 39)
TIMEOUT_S = 20.0
LOOK_S = 0.25  # how often a wait looks whether it was told to end
RETURN_S = 15.0  # how long a phone that went away may take to come back
TAIL_LINES = 12
# For a script: its process group, the third word behind the name in stat (state, parent, group).
OWN_GROUP = "$(read -r stat < /proc/$$/stat; set -- ${stat##*) }; echo $3)"
INSTALL = (
    "Install Android's platform-tools (Debian: apt-get install adb), attach a phone with USB debugging on, and check "
    "that `adb devices` lists it."
)

# What adb says when the phone is not to be had -> what to do about it.
_LOST = (
    (r"unauthorized", "Unlock the phone and accept the question about USB debugging."),
    (r"offline", "Unplug and replug the phone, or `adb kill-server`."),
    (r"not found|no devices|closed|protocol fault|connection reset|EOF|cannot connect|connect failed|Broken pipe",
     "Check the cable, and that `adb devices` lists the phone."),
)  # fmt: skip
# What a push says when the phone refuses the file -> what to do about it.
_REFUSED = (
    ("No space left", "Free space on the phone."),
    ("Read-only file system", "/data/local/tmp has to be writable: restart the phone."),
    ("Permission denied", "/data/local/tmp has to be writable for adb's shell: restart the phone."),
)


@dataclass(frozen=True)
class Done:
    """How a call of adb ended: exit code, and stdout and stderr together."""

    code: int
    text: str


def find_adb() -> str | None:
    """The adb program: on PATH, else in $ANDROID_HOME/platform-tools."""
    home = os.environ.get("ANDROID_HOME") or os.environ.get("ANDROID_SDK_ROOT")
    places = os.pathsep.join(filter(None, [os.environ.get("PATH"), home and os.path.join(home, "platform-tools")]))
    return shutil.which("adb", path=places)


def parse_version(text: str) -> tuple[tuple[int, ...], str]:
    """(protocol version as numbers, release) of what `adb version` prints. Raises DeviceError for anything else."""
    bridge = re.search(r"Android Debug Bridge version (\d+(?:\.\d+)*)", text)
    if bridge is None:
        raise DeviceError(f"adb does not tell its version, but {text.strip()[:200]!r}.", INSTALL)
    release = re.search(r"^Version (\S+)", text, re.MULTILINE)
    return tuple(int(part) for part in bridge[1].split(".")), release[1] if release else bridge[1]


class Adb:
    """The adb program; safe in threads."""

    def __init__(self, program: str | None = None) -> None:
        found = program or find_adb()
        if found is None:
            raise DeviceError("No phone: adb was not found.", INSTALL)
        self.program = found
        self._checked = False

    def version(self) -> str:
        """Its release, such as "29.0.6-debian". Raises DeviceError if it is too old to be relied on."""
        numbers, release = parse_version(self._call(["version"], TIMEOUT_S).text)
        if numbers < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise DeviceError(f"{self.program} is version {'.'.join(map(str, numbers))}, too old: {wanted} is needed.",
                              "Install a newer one (platform-tools).")  # fmt: skip
        return release

    def call(self, *words: str, timeout_s: float = TIMEOUT_S) -> Done:
        """Run adb with these arguments. Raises DeviceError if it cannot be run, is too old or gives no answer."""
        if not self._checked:
            self.version()
            self._checked = True
        return self._call(words, timeout_s)

    def popen(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start adb with stdout and stderr in one pipe and nothing on stdin."""
        try:
            return subprocess.Popen(
                [self.program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise DeviceError(f"{self.program} cannot be run: {error.strerror}.", INSTALL) from error

    def _call(self, words: Sequence[str], timeout_s: float) -> Done:
        with self.popen(words) as process:
            try:
                text = _text(process, timeout_s)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise DeviceError(
                        f"`adb {words[0]}` gave no answer for {timeout_s:g} s.",
                        "Try `adb kill-server`, then `adb devices`.",
                    ) from error
                raise
        return Done(process.returncode, text.decode(errors="replace"))


class Phone:
    """One phone by its serial number. Scripts are for its /system/bin/sh; quote what is not yours (`shlex.quote`).

    `trips` counts the calls of adb that went to it.
    """

    def __init__(self, adb: Adb, serial: str) -> None:
        self.adb, self.serial, self.trips = adb, serial, 0

    def run(self, script: str, *, timeout_s: float = TIMEOUT_S) -> str:
        """The output of a script, stdout and stderr. Raises ScriptFailed if its exit code is not 0, DeviceError."""
        lines: list[str] = []
        code = self.converse(script, lines.append, silence_s=timeout_s)
        if code:
            said = "\n".join(lines[-TAIL_LINES:])
            raise ScriptFailed(f"A command on the phone ended with exit code {code}: {said}", "", code)
        return "\n".join(lines)

    def converse(self, script: str, on_line: Callable[[str], None], *, silence_s: float) -> int:
        """Run a script and hand on every line that is not empty as it comes; its exit code.

        Whatever ends the conversation early (a silence longer than `silence_s`, Ctrl-C, an error of `on_line`) also
        ends all processes that the script started. Raises ConnectionLost if the phone goes away before the end marker.
        """
        marker = f"EdgePrune-{uuid.uuid4().hex}"
        # an empty line first: output without a newline at its end must not swallow the marker
        wrapped = (
            f"echo {marker} group {OWN_GROUP}\n(\n{script}\n) </dev/null 2>&1\ncode=$?\necho\necho {marker} end $code"
        )
        self.trips += 1
        group: str | None = None
        code: int | None = None
        tail: list[str] = []
        process = self.adb.popen(["-s", self.serial, "shell", wrapped])
        try:
            for line in _lines(process, silence_s):
                if line.startswith(f"{marker} group "):
                    group = line.split()[-1]
                elif line.startswith(f"{marker} end "):
                    code = int(line.split()[-1])
                    break
                elif line:
                    tail = [*tail, line][-TAIL_LINES:]
                    on_line(line)
        except BaseException as error:
            process.kill()
            self.kill(group)
            if isinstance(error, TimeoutError):
                said = "\n".join(tail) or "nothing"
                raise DeviceError(
                    f"The phone gave no sign for {silence_s:g} s and was told to stop. Last said: {said}",
                    "Try a smaller model or fewer runs, and see what else the phone does.",
                ) from error
            raise
        finally:
            process.kill()  # also after the end: adb stays while anything on the phone holds its output
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if code is None:
            raise self._lost("\n".join(tail))
        return code

    def kill(self, group: str | None) -> None:
        """End a process group on the phone, if that can still be done."""
        if group is None or not group.isdigit() or int(group) < 2:
            return
        try:
            self.trips += 1
            self.adb.call("-s", self.serial, "shell", f"kill -9 -{group}", timeout_s=5)
        except DeviceError:
            pass  # the phone is gone; a runner without a sign of life is ended by its own alarm

    def push(self, files: Sequence[Path], folder: str, *, timeout_s: float = 300.0) -> None:
        """Copy files (absolute paths, so none is read as an option) into a folder of the phone that is there."""
        self.trips += 1
        done = self.adb.call(
            "-s", self.serial, "push", *(str(file.absolute()) for file in files), f"{folder}/", timeout_s=timeout_s
        )
        if done.code:
            raise self._copy_failed(f"{_names(files)} could not be copied to the phone", done.text)

    def pull(self, file: str, target: Path, *, timeout_s: float = 300.0) -> None:
        """Copy a file from the phone, whole or not at all."""
        self.trips += 1
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial").absolute()
        try:
            done = self.adb.call("-s", self.serial, "pull", file, str(partial), timeout_s=timeout_s)
            if done.code:
                raise self._copy_failed(f"{file} could not be copied from the phone", done.text)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def come_back(self, within_s: float | None = None) -> bool:
        """Wait for a phone that went away (RETURN_S), reconnecting one reached over TCP; whether it is there again."""
        end = time.monotonic() + (RETURN_S if within_s is None else within_s)
        while not self._ready():
            if time.monotonic() >= end:
                return False
            if ":" in self.serial:
                self.adb.call("disconnect", self.serial)
                self.adb.call("connect", self.serial)
            pause(0.2)
        return True

    def _ready(self) -> bool:
        state = self.adb.call("-s", self.serial, "get-state")
        return state.code == 0 and state.text.strip().endswith("device")

    def _copy_failed(self, what: str, text: str) -> DeviceError:
        """Why a copy failed: adb quotes the phone's reason after "remote"; without one the connection broke."""
        refused = re.search(r"remote (?:couldn't create file: |object '.*' )?(.+)", text)
        if refused is None:
            return self._lost(text, what)
        cure = next((cure for reason, cure in _REFUSED if reason in refused[1]), "See `adb shell df /data`.")
        return DeviceError(f"{what}: {refused[1].strip()}.", cure)

    def _lost(self, text: str, what: str = "The connection broke") -> ConnectionLost:
        said = text.strip().splitlines()[-1] if text.strip() else "adb gave no reason"
        cure = next((cure for pattern, cure in _LOST if re.search(pattern, text, re.IGNORECASE)), _LOST[-1][1])
        return ConnectionLost(f"Phone {self.serial} went away. {what}: {said}", cure)


def _names(files: Sequence[Path]) -> str:
    return files[0].name if len(files) == 1 else f"{len(files)} files"


def _text(process: "subprocess.Popen[bytes]", timeout_s: float) -> bytes:
    """All that a process prints. Raises subprocess.TimeoutExpired, KeyboardInterrupt (see `side_by_side.check`)."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return process.communicate(timeout=max(0.0, min(LOOK_S, end - time.monotonic())))[0]
        except subprocess.TimeoutExpired:
            check()
            if time.monotonic() >= end:
                raise


def _lines(process: "subprocess.Popen[bytes]", silence_s: float) -> Iterator[str]:
    """Lines of a process as they come. Raises TimeoutError when none comes for `silence_s`, KeyboardInterrupt."""
    assert process.stdout is not None
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        heard = time.monotonic()
        while True:
            check()
            if not selector.select(min(LOOK_S, silence_s)):
                if time.monotonic() - heard >= silence_s:
                    raise TimeoutError
                continue
            heard = time.monotonic()
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace").rstrip("\r")
    if buffer:
        yield buffer.decode(errors="replace")
