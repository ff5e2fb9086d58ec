"""The JSON-RPC server: HTTP and WebSocket on one port of 127.0.0.1.

Whatever comes in, the answer is a JSON-RPC object and the process serves on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from mfdb.chain.devchain.faults import Internal, InvalidRequest, ParseError, Refused, RpcFault
from mfdb.chain.devchain.methods import run
from mfdb.chain.devchain.subscriptions import Listener
from mfdb.kernel.errors import MfdbError, PortTaken

if TYPE_CHECKING:
    from mfdb.chain.devchain.engine import Change, Engine

_LOG = logging.getLogger(__name__)

HOST = "127.0.0.1"
BODY_BYTES = 4 * 2**20
BATCH = 200
MAX_SOCKETS = 200
NESTING = 1_000
CLOSE_S = 1.0

_encoder = msgspec.json.Encoder()


class RpcServer:
    """Serves one engine. A browser's page is refused: it has no business with a chain here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: set[Listener] = set()
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        engine.listen(self._heard)

    async def start(self, port: int) -> str:
        """Begin to serve and return the URL. Port 0 takes any free one.

        Raises:
            PortTaken: another process listens there.
        """
        application = web.Application(client_max_size=BODY_BYTES)
        application.router.add_post("/", self._post)
        application.router.add_get("/", self._socket)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S)
        await runner.setup()
        site = web.TCPSite(runner, HOST, port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortTaken(
                f"port {port} of {HOST} is taken", hint="choose another --port, or 0 for any"
            ) from error
        self._runner = runner
        host, bound = runner.addresses[0][:2]
        return f"http://{host}:{bound}"

    async def stop(self) -> None:
        """Close all connections and give the port back."""
        await asyncio.gather(*(socket.close(code=1001) for socket in self._sockets))
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _heard(self, change: Change) -> None:
        for listener in self._listeners:
            listener.heard(change)

    # ---- HTTP

    async def _post(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="not for browsers")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            fault = InvalidRequest(f"a request has at most {BODY_BYTES} bytes")
            return _response(_refusal(None, fault))
        return _response(self._answer(body, None))

    # ---- WebSocket

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="not for browsers")
        if len(self._sockets) >= MAX_SOCKETS:
            raise web.HTTPServiceUnavailable(text="too many connections")
        socket = web.WebSocketResponse(timeout=CLOSE_S, max_msg_size=BODY_BYTES, heartbeat=30)
        if not socket.can_prepare(request):
            return web.Response(text="mfdb development chain: POST JSON-RPC here\n")
        await socket.prepare(request)
        listener = Listener()
        self._listeners.add(listener)
        self._sockets.add(socket)
        writer = asyncio.create_task(_write(socket, listener), name="devchain-writer")
        try:
            await self._read(socket, listener)
        finally:
            self._listeners.discard(listener)
            self._sockets.discard(socket)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _read(self, socket: web.WebSocketResponse, listener: Listener) -> None:
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                raw = message.data
                body = raw.encode() if isinstance(raw, str) else raw
                listener.send(self._answer(body, listener))

    # ---- JSON-RPC

    def _answer(self, body: bytes, listener: Listener | None) -> Any:
        try:
            asked = _decoded(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return _refusal(None, ParseError(f"not JSON: {str(error)[:100]}"))
        if not isinstance(asked, list):
            return self._one(asked, listener)
        if not 0 < len(asked) <= BATCH:
            return _refusal(None, InvalidRequest(f"a batch has 1 to {BATCH} requests"))
        return [self._one(item, listener) for item in asked]

    def _one(self, asked: Any, listener: Listener | None) -> Any:
        name = asked.get("id") if isinstance(asked, dict) else None
        try:
            method, params = _read_request(asked)
            result = self._result(method, params, listener)
        except RpcFault as fault:
            return _refusal(name, fault)
        except MfdbError as error:
            return _refusal(name, Refused(error.message))
        except Exception:  # a bug in one method must not take the chain down
            _LOG.exception("a method failed")
            return _refusal(name, Internal("internal error"))
        return {"jsonrpc": "2.0", "id": name, "result": result}

    def _result(self, method: str, params: list[Any], listener: Listener | None) -> Any:
        if listener is not None and method == "eth_subscribe":
            return listener.subscribe(params)
        if listener is not None and method == "eth_unsubscribe":
            return listener.unsubscribe(params)
        return run(self._engine, method, params)


def _decoded(body: bytes) -> Any:
    # Importing py-evm raises Python's recursion limit so far that a body of nothing but brackets
    # would overflow the C stack and kill the process (seen); here the limit is back to normal.
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(NESTING)
    try:
        return msgspec.json.decode(body)
    finally:
        sys.setrecursionlimit(before)


def _read_request(asked: Any) -> tuple[str, list[Any]]:
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        raise InvalidRequest("a request is an object with a method")
    if not isinstance(asked.get("id"), int | str):
        raise InvalidRequest("a request has an id")
    params = asked.get("params") or []
    if not isinstance(params, list):
        raise InvalidRequest("params is a list")
    return asked["method"], params


def _refusal(name: Any, fault: RpcFault) -> Any:
    error: dict[str, Any] = {"code": fault.code, "message": fault.message}
    if fault.data is not None:
        error["data"] = fault.data
    shown = name if isinstance(name, int | str) else None
    return {"jsonrpc": "2.0", "id": shown, "error": error}


def _response(answer: Any) -> web.Response:
    return web.Response(body=_encoder.encode(answer), content_type="application/json")


async def _write(socket: web.WebSocketResponse, listener: Listener) -> None:
    while not listener.overrun.is_set():
        message = await listener.outbox.get()
        await socket.send_str(_encoder.encode(message).decode())
    await socket.close(code=1013, message=b"too slow")
