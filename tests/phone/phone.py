"""The emulated phone: an adb daemon in a thread of this process."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, Self

from tests.phone import cpu, packages, shell, sync
from tests.phone.faults import Faults
from tests.phone.programs import PROGRAMS, Exchange, Program
from tests.phone.sandbox import ABI, Backend, Process, Sandbox
from tests.phone.state import State, properties
from tests.phone.wire import Connection, Stream

FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir")
FREE_BYTES = 40 * 1024**3
CRASH = """Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0 in tid {pid} ({name}), pid {pid} ({name})
*** *** *** *** *** *** *** *** *** *** *** *** *** *** *** ***
pid: {pid}, tid: {pid}, name: {name}  >>> {name} <<<
signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0000000000000000"""

App = Callable[["Phone", list[str]], None]


class Phone:
    """`with Phone(folder) as phone:` and `adb connect` to `phone.address`.

    `history` holds every service that adb opened ("shell,v2,raw:ls", "sync:"), `calls` the Android programs that ran.
    `programs` and `apps` may be replaced: `phone.apps["org.x"] = f` plays the app that `am start -n org.x/.A` starts,
    after `phone.install("org.x")`. `state` and `faults` may be changed while it runs.
    """

    def __init__(
        self,
        root: Path,
        serial: str = "EMULATED01",
        model: str = "EdgePrune emulated phone",
        backend: Backend = "host",
        faults: Faults | None = None,
        state: State | None = None,
        port: int = 0,
    ) -> None:
        self.serial, self.model, self.faults = serial, model, faults or Faults()
        self.state, self.port, self.host = state or State(), port, "127.0.0.1"
        self.sandbox = Sandbox(root, backend)
        self.properties = properties(model, serial, ABI[backend])
        self.packages: dict[str, packages.App] = {}
        self.apps: dict[str, App] = {}
        self.history: list[str] = []
        self.calls: list[tuple[str, ...]] = []
        self.clusters = cpu.clusters(os.cpu_count() or 1)
        cpu.write(self.sandbox.root, self.clusters)
        self._exchange = Exchange(self, dict(PROGRAMS))
        self._exchange.write_scripts()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"phone {serial}", daemon=True)

    @property
    def address(self) -> str:
        """For `adb connect`; also the serial number that adb lists."""
        return f"{self.host}:{self.port}"

    @property
    def odd_address(self) -> str:
        """The same phone under a serial number with brackets; needs IPv6 in the kernel."""
        return f"[::ffff:{self.host}]:{self.port}"

    @property
    def programs(self) -> dict[str, Program]:
        """Android's programs by name."""
        return self._exchange.programs

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def path(self, name: str) -> Path:
        """Where a file of the phone lies on the host."""
        return self.sandbox.path(name)

    def running(self) -> list[Process]:
        """The phone's processes now."""
        return self.sandbox.processes()

    def left_behind(self, within_s: float = 10.0) -> list[Process]:
        """The processes that are still there when those that were ending have ended: none if nothing was left."""
        deadline = time.monotonic() + within_s
        while (found := self.running()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def install(self, package: str, version: str = "", *, debuggable: bool = True) -> None:
        """An app without an APK."""
        packages.install(self, packages.Manifest(package, version, debuggable))

    def unplug(self) -> None:
        """Pull the cable."""
        self._call(self._unplug())

    def plug_in(self) -> None:
        """Put it back: the same address."""
        self._call(self._listen())

    def free_bytes(self) -> int:
        """Room for files."""
        return FREE_BYTES if self.faults.free_bytes is None else self.faults.free_bytes

    def may_vanish(self, during: Literal["push", "pull", "shell"], done_bytes: int, command: str = "") -> None:
        """Raises ConnectionError if the cable is pulled now."""
        fault = self.faults.vanish
        if fault and fault.during == during and done_bytes >= fault.after_bytes and re.search(fault.command, command):
            self.faults.vanish = None
            self._loop.create_task(self._unplug())
            raise ConnectionError("the cable was pulled")

    def log_crash(self, pid: int, name: str = "program") -> None:
        """What Android writes when a program gets SIGSEGV."""
        self.state.write_log("F", "libc", CRASH.format(pid=pid, name=name), pid)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    async def _start(self) -> None:
        self._background = [asyncio.create_task(self._exchange.serve()), asyncio.create_task(self._kill())]
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _unplug(self) -> None:
        if self._server:
            self._server.close()
        for connection in list(self._connections):
            connection.drop()

    async def _stop(self) -> None:
        await self._unplug()
        self.sandbox.end_all()
        for task in self._background:
            task.cancel()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if others:
            await asyncio.wait(others, timeout=10)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._banner, self._serve)
        self._connections.add(connection)
        try:
            if self.faults.offline:
                await connection.ignore()
            elif self.faults.unauthorized:
                await connection.refuse()
            else:
                await connection.run()
        finally:
            self._connections.discard(connection)

    def _banner(self) -> bytes:
        names = ("ro.product.name", "ro.product.model", "ro.product.device")
        facts = "".join(f"{name}={self.properties[name]};" for name in names)
        features = "" if self.faults.legacy else "features=" + ",".join(FEATURES)
        return f"device::{facts}{features}".encode()

    async def _serve(self, stream: Stream, name: str) -> None:
        self.history.append(name)
        head, _, rest = name.partition(":")
        if head == "shell" or head.startswith("shell,"):
            await shell.serve(self, stream, rest, v2="v2" in head.split(","))
        elif head == "exec":
            await shell.serve(self, stream, rest, v2=False)
        elif name == "sync:":
            await sync.serve(self, stream)
        elif head in ("reboot", "root", "remount", "tcpip", "usb"):
            await stream.send(b"adbd cannot run as root in production builds\n")

    async def _kill(self) -> None:
        """Look after `faults.kill`."""
        seen: dict[int, float] = {}
        while True:
            await asyncio.sleep(0.01)
            fault = self.faults.kill
            for process in self.sandbox.leaves(fault.program) if fault else ():
                if fault and time.monotonic() - seen.setdefault(process.pid, time.monotonic()) >= fault.after_s:
                    self._send(process, fault.signal)

    def _send(self, process: Process, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if number == signal.SIGSTOP:
                self.sandbox.stop(process)
            else:
                os.kill(process.pid, number)
        if number == signal.SIGKILL:
            reason = f"Kill '{process.arguments[0]}' ({process.pid}), uid 2000, oom_score_adj 0 to free 262144kB rss"
            self.state.write_log("I", "lowmemorykiller", reason, process.pid)
        elif number == signal.SIGSEGV:
            self.log_crash(process.pid, os.path.basename(process.arguments[0]))
