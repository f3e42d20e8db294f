"""adb's transport protocol, the device's side: packets, connections, streams.

Source: system/core/adb/protocol.txt. A packet is six little-endian words (command, two arguments, length, sum, inverted
command) and data. A stream may have one WRTE under way; the next waits for the peer's OKAY.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import NamedTuple

HEADER = struct.Struct("<4s5I")
VERSION = 0x01000001  # both sides at this version or above: sums are not looked at
MAX_DATA = 256 * 1024
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3  # kinds of AUTH


class Packet(NamedTuple):
    command: bytes
    arg0: int
    arg1: int
    data: bytes = b""


def pack(packet: Packet) -> bytes:
    """The bytes of a packet."""
    inverted = int.from_bytes(packet.command, "little") ^ 0xFFFFFFFF
    total = sum(packet.data) & 0xFFFFFFFF if len(packet.data) < 4096 else 0  # only looked at while shaking hands
    return HEADER.pack(packet.command, packet.arg0, packet.arg1, len(packet.data), total, inverted) + packet.data


async def read(reader: asyncio.StreamReader) -> Packet:
    """The next packet. Raises ConnectionError or asyncio.IncompleteReadError when there is none."""
    command, arg0, arg1, length, _, inverted = HEADER.unpack(await reader.readexactly(HEADER.size))
    if int.from_bytes(command, "little") ^ 0xFFFFFFFF != inverted:
        raise ConnectionError(f"not an adb packet: {command!r}")
    return Packet(command, arg0, arg1, await reader.readexactly(length) if length else b"")


class Stream:
    """A two-way stream of bytes to a service. After the peer closed it, reads end and writes raise ConnectionError."""

    def __init__(self, connection: "Connection", local: int, remote: int) -> None:
        self._connection, self._local, self._remote = connection, local, remote
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._acknowledged = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.closed = False

    async def send(self, data: bytes) -> None:
        """Write all of `data`. Raises ConnectionError when the peer is gone."""
        async with self._one_at_a_time:
            for start in range(0, len(data), self._connection.max_data):
                if self.closed:
                    raise ConnectionError("stream closed")
                self._acknowledged.clear()
                part = data[start : start + self._connection.max_data]
                await self._connection.send(Packet(b"WRTE", self._local, self._remote, part))
                await self._acknowledged.wait()

    async def receive(self) -> bytes:
        """What came, b"" at the end."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        if self.closed and self._incoming.empty():
            return b""
        return await self._incoming.get()

    async def exactly(self, length: int) -> bytes:
        """`length` bytes. Raises EOFError when the stream ends before."""
        parts, missing = [], length
        while missing:
            data = await self.receive()
            if not data:
                raise EOFError
            parts.append(data[:missing])
            self._rest = data[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    async def close(self) -> None:
        """Close it from the device's side."""
        if not self.closed:
            self.shut()
            await self._connection.send(Packet(b"CLSE", self._local, self._remote))
        self._connection.streams.pop(self._local, None)

    def shut(self) -> None:
        """The peer is gone."""
        self.closed = True
        self._acknowledged.set()
        self._incoming.put_nowait(b"")

    def put(self, data: bytes) -> None:
        """Data came."""
        self._incoming.put_nowait(data)

    def acknowledge(self) -> None:
        """The peer took the last part."""
        self._acknowledged.set()


class Connection:
    """One adb server's connection. `serve` runs a named service on a stream; `banner` introduces the phone."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        banner: Callable[[], bytes],
        serve: Callable[[Stream, str], Awaitable[None]],
    ) -> None:
        self._reader, self._writer, self._banner, self._serve = reader, writer, banner, serve
        self._next = 1
        self._tasks: set[asyncio.Task[None]] = set()
        self.streams: dict[int, Stream] = {}
        self.max_data = 4096

    async def send(self, packet: Packet) -> None:
        """Send a packet; a lost connection is noticed by `run`."""
        if self._writer.is_closing():
            raise ConnectionError("connection closed")
        self._writer.write(pack(packet))
        await self._writer.drain()

    def drop(self) -> None:
        """As if the cable were pulled."""
        self._writer.transport.abort()

    async def refuse(self) -> None:
        """Ask for a signature and for a public key, and accept none: adb calls this state "unauthorized"."""
        try:
            while True:
                packet = await read(self._reader)
                if packet.command == b"CNXN" or (packet.command == b"AUTH" and packet.arg0 == SIGNATURE):
                    await self.send(Packet(b"AUTH", TOKEN, 0, bytes(range(20))))
        except (ConnectionError, asyncio.IncompleteReadError):
            self._writer.close()

    async def ignore(self) -> None:
        """Answer nothing: adb calls this state "offline"."""
        while await self._reader.read(4096):
            pass
        self._writer.close()

    async def run(self) -> None:
        """Serve until the peer is gone."""
        try:
            while True:
                await self._handle(await read(self._reader))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for stream in list(self.streams.values()):
                stream.shut()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=5)
            self._writer.close()

    async def _handle(self, packet: Packet) -> None:
        stream = self.streams.get(packet.arg1)
        if packet.command == b"CNXN":
            self.max_data = min(packet.arg1, MAX_DATA)
            await self.send(Packet(b"CNXN", VERSION, MAX_DATA, self._banner()))
        elif packet.command == b"OPEN":
            stream = Stream(self, self._next, packet.arg0)
            self.streams[self._next] = stream
            await self.send(Packet(b"OKAY", self._next, packet.arg0))
            self._next += 1
            name = packet.data.rstrip(b"\0").decode("utf-8", "surrogateescape")
            task = asyncio.create_task(self._service(stream, name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif stream is None:
            return
        elif packet.command == b"OKAY":
            stream.acknowledge()
        elif packet.command == b"WRTE":
            stream.put(packet.data)
            await self.send(Packet(b"OKAY", packet.arg1, packet.arg0))
        elif packet.command == b"CLSE":
            stream.shut()
            self.streams.pop(packet.arg1, None)

    async def _service(self, stream: Stream, name: str) -> None:
        try:
            await self._serve(stream, name)
            await stream.close()
        except (ConnectionError, EOFError):
            stream.shut()
