"""A proxy that leads the public cloud's names to the sandbox, and no other name anywhere (S4).

Clients that nobody configured find the pretend world where the real one is: `HTTPS_PROXY` is all they are told.
The proxy resolves no name and connects to the sandbox's port alone, which proves that nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from core.sandbox import logs
from core.sandbox.origins import BLOB, PUBLIC_HOSTS

#: Bytes of a request's head, and seconds until it is complete.
_HEAD, _PATIENCE = 16_384, 30.0
_CHUNK: Final = 65_536
_FORBIDDEN: Final = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
)


class Proxy:
    """HTTP CONNECT on loopback, in front of one port.

    :param port: of the sandbox's HTTPS server.
    :ivar led: targets that were led to it, `host:port`, in order.
    :ivar refused: targets, or other requests, that were answered 403; without headers, bodies, queries and secrets.
    """

    def __init__(self, port: int) -> None:
        self.led: list[str] = []
        self.refused: list[str] = []
        self._port = port
        self._targets = {f"{host}:443" for host in PUBLIC_HOSTS} | {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server: asyncio.Server | None = None
        self._held: set[asyncio.Task[None] | None] = set()  # the loop itself would let go of a task that waits

    @property
    def address(self) -> str:
        """For `HTTPS_PROXY`."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def start(self) -> None:
        """Serve on the running loop."""
        self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=_HEAD)

    def stop(self) -> None:
        """Take no more connections; those that are open end when their task is cancelled."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._held.add(task)
        try:
            await self._lead(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that went away, sends nonsense or dawdles ends its own connection, and nothing else
        except asyncio.CancelledError:
            writer.transport.abort()  # not raised again: asyncio's own callback complains of a cancelled task
        finally:
            self._held.discard(task)
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        method, target = [*head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" "), "", ""][:2]
        blobs = target.lower().endswith(f"{BLOB}:443")
        if method != "CONNECT" or not (blobs or target.lower() in self._targets):
            self.refused.append(logs.line(f"{method} {target.partition('?')[0]}")[:300])
            logs.bound(self.refused)
            body = b"This proxy leads to the sandbox only.\n"
            writer.write(_FORBIDDEN % len(body) + body)
            await writer.drain()
            writer.write_eof()
            return
        self.led.append(target.lower())
        logs.bound(self.led)
        below_reader, below = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, below))
                both.create_task(_copy(below_reader, writer))
        except* OSError:
            pass  # one side reset the connection: so does the proxy
        finally:
            below.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
