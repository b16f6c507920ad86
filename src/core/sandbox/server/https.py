"""The sandbox's server: HTTPS on loopback in front of a tenant, with faults and latency (S1)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from core.clock import SystemClock
from core.errors import SetupError
from core.sandbox import logs, origins, replies, service
from core.sandbox.dashboard import endpoint as status
from core.sandbox.directory.store import Tenant
from core.sandbox.faults import Met
from core.sandbox.graph import batch
from core.sandbox.http import Request, Response
from core.sandbox.logs import Served, bound
from core.sandbox.server import tls
from core.sandbox.server.proxy import Proxy

#: What aiohttp meets because of what a client sends, or because it goes away.
_CLIENTS_OWN: Final = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


@dataclass
class _Note:
    """What the log says of a request besides its line (`Served`)."""

    items: tuple[str, ...] = ()
    fault: str = ""


#: Rounds of the event loop that a farewell takes from the socket to the transport: read, close_notify, closed.
_ROUNDS = 5


class _Bugs(logging.Handler):
    """What aiohttp would log with a traceback, which may hold values: one line without any, and that of bugs alone."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, _CLIENTS_OWN):
            service.tell("the server", error)


class Server:
    """HTTPS in front of a tenant, on a thread of its own.

    :param port: 0 for any free one.
    :param latency: seconds before every answer.
    :param proxy: also serve under the public cloud's names, to which a proxy on loopback leads.
    :raises SetupError: `usage.settings`: the port is taken, or not to be had.
    :ivar handle: what answers; wrap it to change answers on their way.
    :ivar served: what was answered, in the order of the answers.
    """

    def __init__(self, tenant: Tenant, port: int = 0, latency: float = 0.0, *, proxy: bool = False) -> None:
        self.handle: Callable[[Tenant, Request], Response] = service.handle
        self.served: list[Served] = []
        self._tenant = tenant
        self._latency = latency
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            detail = f"port {port} of 127.0.0.1 cannot be used: {error.strerror}"
            raise SetupError("usage.settings", detail=detail, command="sandbox") from None
        self._loop = asyncio.new_event_loop()
        tenant.port = self._socket.getsockname()[1]
        self.ca, context = tls.context(origins.PUBLIC_HOSTS if proxy else ())
        self.proxy = Proxy(tenant.port) if proxy else None
        context.sni_callback = self._greet
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(context, ready), name="sandbox", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Stop serving; answers under way are dropped."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self, context: ssl.SSLContext, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(context, ready))
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._loop.close()
            ready.set()

    async def _serve(self, context: ssl.SSLContext, ready: threading.Event) -> None:
        logger = logging.Logger("sandbox", logging.ERROR)
        logger.addHandler(_Bugs())
        server = web.Server(self._timed, access_log=None, handler_cancellation=False, logger=logger)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, self._socket, ssl_context=context).start()
        if self.proxy is not None:
            await self.proxy.start()
        ready.set()
        await self._stopping.wait()
        if self.proxy is not None:
            self.proxy.stop()
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # a polite end of TLS waits for the other side
        await runner.cleanup()
        while server.connections:
            await asyncio.sleep(0)  # the loop tells each of them that it is gone
        handshakes = asyncio.all_tasks() - {asyncio.current_task()}  # of clients that were not convinced, or are slow
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)
        await asyncio.sleep(0)

    async def _timed(self, raw: web.BaseRequest) -> web.StreamResponse:
        if raw.path in status.PATHS:  # neither logged nor struck by faults: whoever looks changes nothing
            return await self._guarded(raw, self._look)
        start, moment = time.monotonic(), self._tenant.now()
        code, note = 0, _Note()
        try:
            response = await self._guarded(raw, lambda request: self._answer(raw, request, note))
            if raw.transport is not None and not raw.transport.is_closing():
                code = response.status
            return response
        finally:
            line = logs.line(f"{raw.method} {raw.path.partition('?')[0]}")
            served = Served(line, start, time.monotonic(), moment, code, note.items, note.fault)
            self.served.append(served)
            bound(self.served)

    async def _guarded(
        self, raw: web.BaseRequest, act: Callable[[Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """An answer whatever happens: to what cannot be read, and for a bug; none for a client that has gone away."""
        plain = Request(raw.method, "", raw.path)
        try:
            "".join(raw.headers.values()).encode()  # what is no UTF-8 cannot be repeated in an answer
            request = Request.to(raw.method, f"https://{raw.host}{raw.raw_path}", dict(raw.headers))
        except ValueError:
            return self._dated(service.failed(self._tenant, plain, 400, "A header of the request cannot be read."))
        try:
            return await act(request)
        except ConnectionError:
            return _cut(raw)
        except Exception as error:  # noqa: BLE001  of the server itself: the services answer for their own
            return self._dated(service.broken(self._tenant, request, error))

    async def _look(self, request: Request) -> web.StreamResponse:
        return self._dated(status.handle(self._tenant, request, self.served))

    async def _answer(self, raw: web.BaseRequest, request: Request, note: _Note) -> web.StreamResponse:
        tenant = self._tenant
        try:
            request = replace(request, body=await raw.read())
        except web.RequestPayloadError:
            return self._dated(service.failed(tenant, request, 400, "The body is not encoded as its header says."))
        except web.HTTPRequestEntityTooLarge:
            return self._dated(service.failed(tenant, request, 413, "The body is too long."))
        host, items = raw.host.partition(":")[0], _items(request)
        note.items = tuple(map(logs.line, items))
        met = tenant.faults.meet(request.method, request.path, items, host=host, elapsed=tenant.elapsed)
        note.fault = "; ".join(map(str, met.struck))
        if self._latency:  # of the network: what is asked at one moment is seen together
            await asyncio.sleep(self._latency)
        if met.delay:
            await self._pause(met.delay)
        fault = met.fault
        if fault is not None and fault.kind == "cut-before":
            return _cut(raw)
        if fault is not None and fault.kind == "hold-before":
            await asyncio.get_running_loop().run_in_executor(None, fault.released.wait)
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
            if raw.transport is None or raw.transport.is_closing():
                return web.Response()  # the client is gone, and its request with it
        response = self._act(raw, request, met)
        if fault is not None and fault.kind == "hold-after":
            fault.reached.set()
            await asyncio.get_running_loop().run_in_executor(None, fault.released.wait)
        if fault is not None and fault.kind == "cut-after":
            return _cut(raw)
        if fault is not None and fault.kind == "half-body":
            return await _half(raw, response.status, self._date() | dict(response.headers), response.body)
        answer = self._dated(response)
        if tenant.faults.handshakes:
            answer.force_close()  # faults of connections need new ones
        return answer

    async def _pause(self, seconds: float) -> None:
        """Let the service be slow; where the tenant has a time of its own, it costs nobody any."""
        clock = self._tenant.clock
        if isinstance(clock, SystemClock):
            await asyncio.sleep(seconds)
        else:
            clock.wait(seconds)

    def _act(self, raw: web.BaseRequest, request: Request, met: Met) -> Response:
        """Carry a request out, as far as its faults let it."""
        tenant, fault, response = self._tenant, met.fault, None
        met.sabotage(tenant, "before")
        if fault is None or fault.acts:
            tenant.behind = met.behind
            try:
                response = self.handle(tenant, request) if _right_host(request, raw) else Response(421)
            finally:
                tenant.behind = {}
        met.sabotage(tenant, "after")
        return (response or Response(200)) if fault is None else replies.spoiled(fault, request, response, tenant)

    def _greet(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        """A new connection, before its handshake; clients name no host when they connect to an address."""
        fault = self._tenant.faults.handshake(name or "127.0.0.1", self._tenant.elapsed)
        if fault is not None and fault.kind == "tls-handshake":
            return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        if fault is not None:
            stranger = tls.context()[1]  # of a CA that nobody trusts
            connection.context = stranger
        return None

    def _date(self) -> dict[str, str]:
        """The pretend world's time, not this system's."""
        return {"Date": format_datetime(self._tenant.now(), usegmt=True)}

    def _dated(self, response: Response) -> web.Response:
        headers = self._date() | dict(response.headers)
        return web.Response(status=response.status, headers=headers, body=response.body)


def _right_host(request: Request, raw: web.BaseRequest) -> bool:
    """Graph lives on `localhost`, the rest on 127.0.0.1: a token sent to the wrong one is a bug of the client."""
    return origins.serves(raw.host.partition(":")[0].lower(), request.path)


def _items(request: Request) -> list[str]:
    """What a batch asks for; nothing for any other request, or a batch that cannot be read."""
    if not request.path.endswith("/$batch"):
        return []
    try:
        items = request.json().get("requests") or []
        return [batch.line(item) for item in items]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


async def _half(raw: web.BaseRequest, status: int, headers: dict[str, str], body: bytes) -> web.StreamResponse:
    """Send half of a body, and end the connection."""
    answer = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(body))})
    await answer.prepare(raw)
    await answer.write(body[: len(body) // 2])
    if raw.transport is not None:
        raw.transport.close()  # what was written still arrives
    return answer


def _cut(raw: web.BaseRequest) -> web.Response:
    if raw.transport is not None:
        raw.transport.abort()  # a reset, without a byte of an answer
    return web.Response()
