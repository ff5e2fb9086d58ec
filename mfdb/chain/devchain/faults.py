"""What a JSON-RPC answer says instead of a result."""

from __future__ import annotations

from typing import ClassVar


class RpcFault(Exception):
    """A JSON-RPC error object; the server sends it and serves on."""

    code: ClassVar[int] = -32000

    def __init__(self, message: str, *, data: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ParseError(RpcFault):
    """The body is not JSON."""

    code = -32700


class InvalidRequest(RpcFault):
    """The JSON is not a JSON-RPC request."""

    code = -32600


class UnknownMethod(RpcFault):
    """There is no such method."""

    code = -32601


class InvalidParams(RpcFault):
    """The parameters do not fit the method."""

    code = -32602


class Internal(RpcFault):
    """A bug of ours; the log has the details."""

    code = -32603


class Refused(RpcFault):
    """The chain does not take a transaction, or does not know a block."""

    code = -32000


class LimitExceeded(RpcFault):
    """The answer would be too large; ask for less."""

    code = -32005


class ExecutionReverted(RpcFault):
    """A contract refused; `data` holds its reason as it gave it."""

    code = 3
