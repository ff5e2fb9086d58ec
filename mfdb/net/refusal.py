"""Errors on the wire: class name, message and hint; never a traceback, never more than a page."""

from __future__ import annotations

from mfdb.kernel import errors
from mfdb.kernel.codec import Record, decode, encode
from mfdb.kernel.errors import InternalError, MfdbError

_MESSAGE_CHARS = 1000
_HINT_CHARS = 500
_LIMIT_BYTES = 8 * 2**10

_KNOWN: dict[str, type[MfdbError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MfdbError)
}


class Refusal(Record, frozen=True):
    """An error as it travels."""

    code: str
    message: str
    hint: str


def encode_refusal(error: MfdbError) -> bytes:
    """Return the bytes of an error; a class of another module travels as its nearest known one."""
    code = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KNOWN)
    message, hint = error.message[:_MESSAGE_CHARS], error.hint[:_HINT_CHARS]
    return encode(Refusal(code, _plain(message), _plain(hint)))


def decode_refusal(body: bytes) -> MfdbError:
    """Return the error that a peer sent, ready to be raised; an unknown class is InternalError.

    Raises:
        MalformedMessage: the bytes are not a refusal.
        ValueTooLarge: they are too many.
    """
    refusal = decode(Refusal, body, limit_bytes=_LIMIT_BYTES)
    kind = _KNOWN.get(refusal.code, InternalError)
    return kind(refusal.message[:_MESSAGE_CHARS], hint=refusal.hint[:_HINT_CHARS])


def _plain(text: str) -> str:
    """Return the text without half surrogate pairs, which no UTF-8 can carry."""
    return text.encode("utf-8", "replace").decode()
