"""The phone's file system: a folder that proot shows to programs as `/`, with the host's kernel below it."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

Backend = Literal["host", "arm64"]
ABI: dict[Backend, str] = {"host": "x86_64", "arm64": "arm64-v8a"}
FOLDERS = (
    "data/local/tmp",
    "data/app",
    "data/data",
    "sdcard/Download",
    "sdcard/Android/data",
    "system/bin",
    "system/etc",
    "tmp",
)
WRITABLE = ("/data/local/tmp", "/sdcard", "/storage")  # to the shell user
QEMU = "qemu-aarch64-static -cpu cortex-a76"  # "max" would emulate SVE: nine times slower
BUILT = Path(__file__).parents[2] / "build/phone"
BUSYBOX: dict[Backend, Path] = {"host": Path("/bin/busybox"), "arm64": BUILT / "arm64-v8a/busybox"}
CURE = {
    "host": "sudo apt-get install busybox-static",
    "arm64": "tests/phone/fetch-busybox.sh arm64 build/phone/arm64-v8a/busybox",
}
MARK = "EDGEPRUNE_PHONE"
# Debian's proot 5.1 lets statx and faccessat2 through untranslated. busybox on x86_64 calls neither; under qemu, `[ -r`
# and `[ -x` ask faccessat2 and may say no: use `[ -f`.
# A shell round the shell, since proot does not pass on that a signal ended its first process. busybox would prefer its
# own df to the phone's.
FUNCTIONS = 'df() { /system/bin/df "$@"; }\n'
WRAPPED = """sh -c '. /system/etc/functions; eval "$0"' "$0"; exit $?"""


class Process(NamedTuple):
    """A process of the phone, by its id on the host."""

    pid: int
    parent: int
    arguments: tuple[str, ...]


class Sandbox:
    """Folder `root` as a phone. Raises FileNotFoundError when what the back end needs is missing, with the cure."""

    def __init__(self, root: Path, backend: Backend) -> None:
        self.root, self.backend = root.resolve(), backend
        self.id = uuid.uuid4().hex
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self._programs(BUSYBOX[backend], CURE[backend])

    def _programs(self, busybox: Path, cure: str) -> None:
        """The shell and its tools: Android's toybox is not to be had, busybox is much the same."""
        if not busybox.is_file():
            raise FileNotFoundError(f"the emulated phone needs {busybox}: {cure}")
        folder = self.root / "bin"
        folder.mkdir(exist_ok=True)
        shutil.copy(busybox, folder / "busybox")
        emulator = shlex.split(QEMU) if self.backend == "arm64" else []
        listing = subprocess.run([*emulator, busybox, "--list"], capture_output=True, text=True, check=True).stdout
        for name in set(listing.split()) - {"busybox"}:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to("busybox")
        (self.root / "system/bin/sh").unlink(missing_ok=True)
        (self.root / "system/bin/sh").symlink_to("/bin/busybox")
        (self.root / "system/etc/functions").write_text(FUNCTIONS)

    def path(self, name: str) -> Path:
        """Where a file of the phone lies on the host. Raises PermissionError for one outside the sandbox."""
        inside = (self.root / os.path.normpath("/" + name).lstrip("/")).resolve()
        if not inside.is_relative_to(self.root):
            raise PermissionError(13, "Permission denied", name)
        return inside

    def arguments(self, command: str, read_only: bool = False) -> list[str]:
        """The host's command line that runs a shell command on the phone."""
        shown = ["/dev", "/proc"]
        if self.backend == "arm64":
            shown.append(f"{self.root}/proc/cpuinfo:/proc/cpuinfo")  # XNNPACK on arm64 crashes on the host's
        if read_only:
            shown.append("/sys:/data/local/tmp")  # where not even root makes files
        binds = [part for place in shown for part in ("-b", place)]
        emulator = ["-q", QEMU] if self.backend == "arm64" else []
        shell = ["/bin/sh", "-c", WRAPPED, command]
        return ["proot", "-v", "-1", *emulator, "-r", str(self.root), *binds, "-w", "/", *shell]

    def environment(self) -> dict[str, str]:
        """What programs of the phone see, and the mark by which they are found."""
        ours = {key: value for key, value in os.environ.items() if key.startswith("PROOT_")}
        return {
            **ours,
            "PATH": "/system/bin:/bin",
            "HOME": "/",
            "TMPDIR": "/data/local/tmp",
            "ANDROID_DATA": "/data",
            "ANDROID_ROOT": "/system",
            MARK: self.id,
        }

    def processes(self) -> list[Process]:
        """What runs on the phone now, proot itself left out."""
        return [process for process in self._marked() if process.arguments[0] != "proot"]

    def _marked(self) -> list[Process]:
        mark, found = f"{MARK}={self.id}".encode(), []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if mark not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                arguments = (folder / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # gone in between
            if arguments[0]:  # a zombie has no command line
                found.append(Process(int(folder.name), parent, tuple(arguments)))
        return found

    def leaves(self, pattern: str) -> Sequence[Process]:
        """Programs, not the shells that wait for them, whose command line holds `pattern`."""
        running = self.processes()
        parents = {process.parent for process in running}
        return [
            p for p in running if p.pid not in parents and "-c" not in p.arguments and pattern in " ".join(p.arguments)
        ]

    def stop(self, process: Process) -> None:
        """Let a process hang: proot passes no SIGSTOP on, so proot stops, and its programs do at their next call."""
        status = Path(f"/proc/{process.pid}/status").read_text()
        tracer = next(line.split()[1] for line in status.splitlines() if line.startswith("TracerPid"))
        if tracer != "0":
            os.kill(int(tracer), signal.SIGSTOP)

    def end_all(self) -> None:
        """Switch it off."""
        for process in self._marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
