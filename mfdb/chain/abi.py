"""Calls and events of our contracts, encoded and decoded by the ABI in their artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from mfdb.chain.contracts.artefacts import load
from mfdb.kernel.digest import keccak256
from mfdb.kernel.errors import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfdb.kernel.ids import Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of a contract: its selector and the types that go in and come out."""

    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShape:
    """An event: name, and by position the fields' names and types; indexed ones are topics."""

    name: str
    indexed: tuple[tuple[str, str], ...]
    plain: tuple[tuple[str, str], ...]


@cache
def function(contract: str, name: str) -> Function:
    """Return a function of a contract.

    Raises:
        KeyError: it has no such function.
    """
    for entry in load(contract).abi:
        if entry["type"] == "function" and entry["name"] == name:
            inputs = tuple(_type_of(part) for part in entry["inputs"])
            return Function(
                selector=keccak256(f"{name}({','.join(inputs)})".encode())[:4],
                inputs=inputs,
                outputs=tuple(_type_of(part) for part in entry["outputs"]),
            )
    raise KeyError(f"{contract} has no function {name}")


def encode_call(contract: str, name: str, arguments: Sequence[Any]) -> bytes:
    """Return the calldata of a function; addresses are 20 bytes, structs tuples."""
    from eth_abi.abi import encode

    found = function(contract, name)
    return found.selector + encode(found.inputs, tuple(arguments))


def encode_deployment(contract: str, arguments: Sequence[Any]) -> bytes:
    """Return the code that deploys a contract with constructor arguments."""
    from eth_abi.abi import encode

    artefact = load(contract)
    constructors = [entry for entry in artefact.abi if entry["type"] == "constructor"]
    types = [_type_of(part) for entry in constructors for part in entry["inputs"]]
    return artefact.bytecode + encode(types, tuple(arguments))


def decode_result(contract: str, name: str, data: bytes) -> tuple[Any, ...]:
    """Return what a function gave, addresses as 20 bytes.

    Raises:
        MalformedMessage: the bytes are not what this function gives.
    """
    return _decode(function(contract, name).outputs, data)


@cache
def topic(contract: str, event: str) -> Hash:
    """Return the first topic of an event.

    Raises:
        KeyError: the contract has no such event.
    """
    for found, shape in _events(contract).items():
        if shape.name == event:
            return found
    raise KeyError(f"{contract} has no event {event}")


def decode_log(
    contract: str, topics: Sequence[bytes], data: bytes
) -> tuple[str, dict[str, Any]] | None:
    """Return an event's name and fields, or None if the ABI does not know it.

    Raises:
        MalformedMessage: the log does not fit the event that it claims to be.
    """
    shape = _events(contract).get(topics[0]) if topics else None  # type: ignore[call-overload]  # a Hash is bytes
    if shape is None:
        return None
    if len(topics) != 1 + len(shape.indexed):
        raise MalformedMessage(f"a {shape.name} log with {len(topics)} topics")
    fields: dict[str, Any] = {}
    for (name, kind), word in zip(shape.indexed, topics[1:], strict=True):
        (fields[name],) = _decode((kind,), word)
    plain = _decode(tuple(kind for _, kind in shape.plain), data)
    fields.update(zip((name for name, _ in shape.plain), plain, strict=True))
    return shape.name, fields


@cache
def _events(contract: str) -> dict[Hash, EventShape]:
    found: dict[Hash, EventShape] = {}
    for entry in load(contract).abi:
        if entry["type"] != "event":
            continue
        types = ",".join(_type_of(part) for part in entry["inputs"])
        fields = [(part["name"], _type_of(part), part["indexed"]) for part in entry["inputs"]]
        found[keccak256(f"{entry['name']}({types})".encode())] = EventShape(
            name=entry["name"],
            indexed=tuple((name, kind) for name, kind, indexed in fields if indexed),
            plain=tuple((name, kind) for name, kind, indexed in fields if not indexed),
        )
    return found


def _type_of(part: dict[str, Any]) -> str:
    if part["type"].startswith("tuple"):
        inner = ",".join(_type_of(component) for component in part["components"])
        return f"({inner}){part['type'][5:]}"
    return str(part["type"])


def _decode(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        return tuple(_raw(value) for value in decode(types, data))
    except (DecodingError, OverflowError) as error:
        raise MalformedMessage(f"not an ABI encoding of {','.join(types)[:80]}") from error


def _raw(value: Any) -> Any:
    # eth_abi gives addresses as text; none of our contracts gives other text where it matters.
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return bytes.fromhex(value[2:])
    if isinstance(value, tuple | list):
        return tuple(_raw(item) for item in value)
    return value
