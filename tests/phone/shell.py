"""adb's shell and exec services. Source: system/core/adb/shell_protocol.h."""

import asyncio
import contextlib
import os
import signal
import struct
from asyncio.subprocess import PIPE, STDOUT, Process
from typing import TYPE_CHECKING

from tests.phone.wire import Stream

if TYPE_CHECKING:
    from tests.phone.phone import Phone

FRAME = struct.Struct("<BI")
STDIN, OUT, ERR, EXIT, CLOSE_STDIN = 0, 1, 2, 3, 4
CHUNK = 64 * 1024
FOREVER = "exec sleep 1000000"
# Also where this process was started with nohup: what hangs up a command is how adb ends it.
LISTENING = ("env", "--default-signal=HUP,INT")


async def serve(phone: "Phone", stream: Stream, command: str, v2: bool) -> None:
    """Run a command. Version 2 keeps stdout and stderr apart and reports the exit code; version 1 and exec do not."""
    runs = FOREVER if phone.faults.hangs(command) else command or "exec sh"
    process = await asyncio.create_subprocess_exec(
        *LISTENING,
        *phone.sandbox.arguments(runs, phone.faults.read_only),
        env=phone.sandbox.environment(),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE if v2 else STDOUT,
        start_new_session=True,
    )
    feed = asyncio.create_task(_feed(stream, process, v2))
    try:
        pumps = [_pump(phone, stream, process.stdout, OUT, command, v2)]
        if v2:
            pumps.append(_pump(phone, stream, process.stderr, ERR, command, v2))
        await asyncio.gather(*pumps)
        code = await process.wait()
        code = code if code >= 0 else 128 - code
        if code == 128 + signal.SIGSEGV:
            phone.log_crash(process.pid)
        if v2:
            await stream.send(FRAME.pack(EXIT, 1) + bytes([code & 0xFF]))
    finally:
        feed.cancel()
        hang_up(process)


def hang_up(process: Process) -> None:
    """What adbd and the kernel do when the host is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGHUP)
            os.killpg(process.pid, signal.SIGCONT)


async def _pump(
    phone: "Phone", stream: Stream, source: asyncio.StreamReader | None, kind: int, command: str, v2: bool
) -> None:
    assert source is not None
    replace = phone.faults.output if kind == OUT else None
    sent = 0
    if kind == OUT:
        phone.may_vanish("shell", 0, command)
    while data := await (source.read() if replace else source.read(CHUNK)):
        if replace:
            data = replace(command, data)
        phone.may_vanish("shell", sent, command)
        await stream.send(FRAME.pack(kind, len(data)) + data if v2 else data)
        sent += len(data)


async def _feed(stream: Stream, process: Process, v2: bool) -> None:
    """The host's input; when the host goes away, the command is hung up on."""
    assert process.stdin is not None
    try:
        while True:
            if v2:
                kind, length = FRAME.unpack(await stream.exactly(FRAME.size))
                data = await stream.exactly(length)
                if kind == CLOSE_STDIN:
                    process.stdin.close()
                if kind != STDIN:
                    continue
            else:
                data = await stream.receive()
                if not data:
                    raise EOFError
            with contextlib.suppress(ConnectionError):  # it need not read its input
                process.stdin.write(data)
                await process.stdin.drain()
    except EOFError:
        hang_up(process)
