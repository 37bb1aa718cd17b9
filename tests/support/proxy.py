"""A TCP proxy in a thread of its own that cuts connections after so many bytes: `with proxying(address) as proxy`."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random

__all__ = ["Cut", "Proxy", "proxying", "random_cuts"]

WAIT_SECONDS = 20
_CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Cut:
    """How one connection ends.

    Attributes:
        after_bytes: so many bytes are passed on in the direction that counts, then both sides are closed.
        upstream: whether bytes from the client to the server count, and not those to the client.
        reset: whether both sides see a reset (RST) and not an orderly end (FIN).
    """

    after_bytes: int
    upstream: bool = False
    reset: bool = False


class Proxy:
    """Passes bytes on between clients and a server.

    Attributes:
        address: where clients connect to; on a port that the system chose.
        target: where the server listens, `host:port`; may be replaced at any time.
        next_cut: asked once a connection; None lets it live. May be replaced at any time.
        cuts: the cuts that were made, in order.
        connections: how many connections were passed on, cut or not.
        refused: how many were reset before a byte was passed on: as `refuse` says, or without a server.
        bytes_down: how many bytes went to clients, over all connections.
    """

    def __init__(self, target: str, next_cut: Callable[[], Cut | None] = lambda: None) -> None:
        self.address = ""
        self.target = target
        self.next_cut = next_cut
        self.cuts: list[Cut] = []
        self.connections = 0
        self.refused = 0
        self.bytes_down = 0
        self._to_refuse = 0
        self._is_cutting = True
        self._handlers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def refuse(self, connections: int) -> None:
        """Resets so many of the following connections at once."""
        self._to_refuse = connections

    def stop_cutting(self) -> None:
        """Lets every connection live from now on, those that are open included."""
        self._is_cutting = False

    async def serve(self, listener: socket.socket, until: asyncio.Event) -> None:
        """Accepts connections until the event is set, then closes all of them."""
        server = await asyncio.start_server(self._begin, sock=listener)
        async with server:
            await until.wait()
        # Handlers end with their connections, and close what they opened; one that is cancelled early would not.
        while self._handlers:
            for writer in self._handlers.values():
                writer.transport.abort()
            await asyncio.gather(*self._handlers)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.create_task(self._handle(reader, writer))
        self._handlers[handler] = writer
        handler.add_done_callback(self._handlers.pop)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._to_refuse > 0:
            self._to_refuse -= 1
            await self._refuse(writer)
            return
        host, _, port = self.target.rpartition(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:  # the server is not there: nor is the proxy, then
            await self._refuse(writer)
            return
        for side in (writer, far_writer):  # asyncio does so only where a socket's protocol was named
            _set_option(side, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        cut = self.next_cut() if self._is_cutting else None
        down_cut, up_cut = (None, cut) if cut is not None and cut.upstream else (cut, None)
        down = asyncio.create_task(self._pass_on(far_reader, writer, down_cut, is_down=True))
        up = asyncio.create_task(self._pass_on(reader, far_writer, up_cut, is_down=False))
        resets = False
        try:
            done, _ = await asyncio.wait({down, up}, return_when=asyncio.FIRST_COMPLETED)
            if cut and any(task.result() for task in done):
                self.cuts.append(cut)
                resets = cut.reset
        finally:
            for task in (down, up):
                task.cancel()
            await asyncio.gather(down, up, return_exceptions=True)
            await asyncio.gather(_close(writer, resets=resets), _close(far_writer, resets=resets))

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        self.refused += 1
        await _close(writer, resets=True)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Cut | None, *, is_down: bool
    ) -> bool:
        """Passes bytes on until either side ends, or the cut is due; returns whether it was."""
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                is_due = cut is not None and self._is_cutting and passed + len(data) > cut.after_bytes
                if cut is not None and is_due:
                    data = data[: max(0, cut.after_bytes - passed)]
                writer.write(data)
                await writer.drain()
                passed += len(data)
                self.bytes_down += len(data) if is_down else 0
                if is_due:
                    return True
        return False


async def _close(writer: asyncio.StreamWriter, *, resets: bool) -> None:
    if resets:
        # A socket that does not linger sends a reset when it is closed.
        _set_option(writer, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def _set_option(writer: asyncio.StreamWriter, level: int, option: int, value: int | bytes) -> None:
    with suppress(OSError):  # the other side may have closed it meanwhile
        writer.get_extra_info("socket").setsockopt(level, option, value)


@contextmanager
def proxying(target: str, next_cut: Callable[[], Cut | None] = lambda: None) -> Iterator[Proxy]:
    """Runs a proxy to the server at `target`."""
    proxy = Proxy(target, next_cut)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    proxy.address = f"127.0.0.1:{listener.getsockname()[1]}"
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        until = asyncio.Event()
        ready.set_result((asyncio.get_running_loop(), until))
        await proxy.serve(listener, until)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="proxy")
    thread.start()
    loop, until = ready.result(WAIT_SECONDS)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(until.set)
        thread.join(WAIT_SECONDS)


def random_cuts(random: Random, *, most_bytes: int, upstream_share: float = 0.1) -> Callable[[], Cut]:
    """Returns cuts for `Proxy.next_cut`: half of them anywhere up to `most_bytes`, half of them early.

    Early ones are within the first hundreds of bytes, where connections are set up and streams begin.
    """

    def draw() -> Cut:
        upstream = random.random() < upstream_share
        early = upstream or random.random() < 0.5
        after_bytes = random.randrange(600 if early else most_bytes)
        return Cut(after_bytes, upstream=upstream, reset=random.random() < 0.5)

    return draw
