"""A host gives its phones to a Ray cluster: a Ray node for each, which goes when the phone goes.

Work that ran beside a phone that is gone is thereby lost to Ray, which repeats it beside another.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from profilers.android.adb import Adb, Phone
from profilers.android.bundle import bundle_for
from profilers.android.devices import attached
from profilers.android.facts import read_facts
from profilers.android.native_runner import WHEELS
from profilers.android.serials import found
from profilers.errors import DeviceError, FarmError
from profilers.farm.cluster import ray_library, reachable
from profilers.farm.labels import SERIAL, FarmPhone
from profilers.side_by_side import pause

LOOK_S = 2.0
GRACE_S = 4.0  # a connection that breaks and comes back at once costs nothing
START_S = 120.0
LEAVE_S = 40.0  # Ray lets running work end for 30 s
RETRY_S = 10.0
RAY = (sys.executable, "-m", "ray.scripts.scripts")
STARTED = "Ray runtime started"
Tell = Callable[[str], None]


@dataclass
class Node:
    """The Ray node of one phone."""

    phone: FarmPhone
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    seen: float = field(default_factory=time.monotonic)

    def said(self) -> str:
        """All that it printed."""
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """At once, with whatever runs there."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def leave(self) -> None:
        """Let running work end first, for as long as Ray does: see `kill`."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self.process.pid, number)


class Host:
    """This machine's phones as nodes of the cluster at `address`, those named by `serials` or all. Raises FarmError.

    `tell` hears of phones that come and go.
    """

    def __init__(self, address: str, tell: Tell, serials: Sequence[str] = (), adb: Adb | None = None) -> None:
        ray_library()
        self._address, self._tell, self._serials = reachable(address), tell, serials
        self._adb = adb or Adb()
        self._nodes: dict[str, Node] = {}
        self._not_before: dict[str, float] = {}
        self._joined = False  # a phone of this host, at any time: a head that is away may come back

    @property
    def phones(self) -> list[FarmPhone]:
        """Those that have joined."""
        return [node.phone for node in self._nodes.values()]

    def run(self) -> None:
        """Until Ctrl-C; a hiccup of adb does not end it. Raises FarmError where no phone could ever join."""
        try:
            while True:
                try:
                    self.look()
                except DeviceError as error:
                    self._tell(error.message)
                pause(LOOK_S)
        finally:
            self.leave()

    def look(self) -> None:
        """Once: let go of phones that went away, take those that came. Raises FarmError, RuntimeNotInstalled."""
        now = time.monotonic()
        there = [phone.serial for phone in attached(self._adb) if phone.ready]
        wanted = {found(serial, there) for serial in self._serials or there}
        for serial, node in list(self._nodes.items()):
            if serial in there:
                node.seen = now
            if now - node.seen > GRACE_S:
                self._drop(serial, "went away: its work goes to other phones")
            elif node.process.poll() is not None:
                self._drop(serial, f"left: its Ray node ended with exit code {node.process.returncode}")
        for serial in there:
            if serial in wanted and serial not in self._nodes and now >= self._not_before.get(serial, 0.0):
                self._take(serial)

    def leave(self) -> None:
        """All phones leave the cluster; what they are at may end."""
        for node in self._nodes.values():
            node.leave()
        end = time.monotonic() + LEAVE_S
        while any(node.process.poll() is None for node in self._nodes.values()) and time.monotonic() < end:
            time.sleep(0.1)
        for node in self._nodes.values():
            node.kill()
        self._nodes.clear()

    def _drop(self, serial: str, why: str) -> None:
        node = self._nodes.pop(serial)
        node.kill()
        self._not_before[serial] = time.monotonic() + RETRY_S
        self._tell(f"{node.phone.name} ({node.phone.serial_sha256[:6]}) {why}")

    def _take(self, serial: str) -> None:
        self._not_before[serial] = time.monotonic() + RETRY_S
        try:
            facts = read_facts(Phone(self._adb, serial))
            litert = str(bundle_for(facts.abis).manifest["versions"][WHEELS["litert"]])
        except DeviceError as error:
            self._tell(f"a phone cannot join: {error.message.replace(serial, '(serial)')}")
            return
        phone = FarmPhone.of(facts, litert)
        try:
            reachable(self._address)
            self._nodes[serial] = self._start(serial, phone)
        except FarmError as error:
            if not self._joined:
                raise
            self._tell(f"{phone.name} ({phone.serial_sha256[:6]}) cannot join now: {error.message}")
            return
        self._joined = True
        mark = ", emulated: not a phone" if facts.emulated else ""
        self._tell(f"{facts.name} ({facts.serial_sha256[:6]}) joined: Android {facts.android}, {facts.soc}{mark}")

    def _start(self, serial: str, phone: FarmPhone) -> Node:
        """One after the other: Ray's own start is not made for several at once on a machine."""
        log = tempfile.NamedTemporaryFile(prefix="edgeprune-farm-", suffix=".log")  # noqa: SIM115 - lives as the node
        labels = ",".join(f"{key}={value}" for key, value in phone.labels().items())
        process = subprocess.Popen(
            [
                *RAY, "start", "--block", f"--address={self._address}", "--num-cpus=1",
                f"--resources={json.dumps({phone.resource: 1})}", f"--labels={labels}", "--disable-usage-stats",
                "--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0",
                "--dashboard-agent-listen-port=0",
            ],
            env={"RAY_raylet_start_wait_time_s": str(round(START_S)), **os.environ, SERIAL: serial},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip
        node = Node(phone, process, log)
        try:
            end = time.monotonic() + START_S
            while STARTED not in node.said():
                if process.poll() is not None or time.monotonic() > end:
                    said = node.said().strip().splitlines()
                    raise FarmError(
                        f"A phone could not join {self._address}: {said[-1] if said else 'Ray said nothing'}",
                        "Ray and Python have to be the same on all machines: compare `ray --version` with the head's.",
                    )
                pause(0.1)
        except BaseException:
            node.kill()
            raise
        node.seen = time.monotonic()
        return node


def _end_with_parent() -> None:
    """Between fork and exec: SIGTERM when this process dies, however it dies (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
