"""`mfdb identity new|list|show|restore|protect`: who can sign on this machine."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING

from mfdb.kernel.errors import BadSeedWords, UnknownIdentity
from mfdb.kernel.ids import show
from mfdb.node.keystore import keystore_in
from mfdb.node.system import SystemEntropy
from shell import exit_codes
from shell.passphrase import PassphraseSource
from shell.values import json_text

if TYPE_CHECKING:
    import argparse

    from mfdb.node.keystore import IdentityEntry, Keystore

_WORDS_CHARS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make an identity; prints its seed words once")
    new.add_argument("name", help="petname, known on this machine only")
    _add_protect(new)
    actions.add_parser("list", help="list the identities; opens none")
    shown = actions.add_parser("show", help="show one identity")
    shown.add_argument("name", nargs="?", help="petname or address (default: the first made)")
    shown.add_argument("--words", action="store_true", help="print the seed words")
    restore = actions.add_parser("restore", help="store the identity of seed words (from stdin)")
    restore.add_argument("name", help="petname, known on this machine only")
    _add_protect(restore)
    protect = actions.add_parser("protect", help="seal the seed words with a passphrase")
    protect.add_argument("name", nargs="?", help="petname or address (default: the first made)")


def _add_protect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--protect", action="store_true", help="seal with a passphrase (or MFDB_PASSPHRASE_FILE)"
    )


def run(args: argparse.Namespace) -> int:
    """Run one sub-command and return the exit code.

    Raises:
        MfdbError: the keystore, the name, the words or the passphrase are not right.
    """
    source = PassphraseSource(os.environ, terminal=sys.stdin.isatty())
    keystore = keystore_in(args.data, SystemEntropy())
    action = {"new": _new, "list": _list, "show": _show, "restore": _restore, "protect": _protect}
    action[args.action](args, keystore, source)
    return exit_codes.OK


def _new(args: argparse.Namespace, keystore: Keystore, source: PassphraseSource) -> None:
    passphrase = source.new() if args.protect else None
    entry = keystore.create(args.name, passphrase)
    words = keystore.words(entry.name, passphrase)
    if args.json:
        _write_json(_fields(entry) | {"words": words})
        return
    _write_entry(entry)
    _write(f"seed words  {words}\n")
    _write("Write the words down: whoever has them is this identity, without them nobody is.\n")


def _list(args: argparse.Namespace, keystore: Keystore, _source: PassphraseSource) -> None:
    entries = keystore.list()
    if args.json:
        _write_json([_fields(entry) for entry in entries])
        return
    for entry in entries:
        state = "protected" if entry.protected else "open"
        _write(f"{entry.name:<20} {show(entry.address)} {state}\n")
    if not entries:
        _write("No identities here yet; `mfdb identity new NAME` makes one.\n")


def _show(args: argparse.Namespace, keystore: Keystore, source: PassphraseSource) -> None:
    entry = _chosen(args, keystore)
    words = {"words": _opened(entry, keystore, source)} if args.words else {}
    if args.json:
        _write_json(_fields(entry) | words)
        return
    _write_entry(entry)
    if words:
        _write(f"seed words  {words['words']}\n")


def _restore(args: argparse.Namespace, keystore: Keystore, source: PassphraseSource) -> None:
    words = _read_words()
    entry = keystore.restore(args.name, words, source.new() if args.protect else None)
    _write_json(_fields(entry)) if args.json else _write_entry(entry)


def _protect(args: argparse.Namespace, keystore: Keystore, source: PassphraseSource) -> None:
    entry = _chosen(args, keystore)
    current = source() if entry.protected else None
    passphrase = source.new_at_terminal() if entry.protected else source.new()
    sealed = keystore.protect(entry.name, passphrase, current=current)
    _write_json(_fields(sealed)) if args.json else _write_entry(sealed)


def _chosen(args: argparse.Namespace, keystore: Keystore) -> IdentityEntry:
    name = args.name or args.identity
    if name:
        return keystore.find(name)
    entry = keystore.default()
    if entry is None:
        raise UnknownIdentity("no identity is named", hint="mfdb identity list shows them")
    return entry


def _opened(entry: IdentityEntry, keystore: Keystore, source: PassphraseSource) -> str:
    return keystore.words(entry.name, source() if entry.protected else None)


def _read_words() -> str:
    """Return the words typed (without echo) or piped; never an argument, which others can see."""
    if sys.stdin.isatty():
        return getpass.getpass("Seed words: ")
    text = sys.stdin.read(_WORDS_CHARS)
    if not text.strip():
        raise BadSeedWords(
            "no seed words on standard input", hint="pipe them in, or use a terminal"
        )
    return text


def _fields(entry: IdentityEntry) -> dict[str, object]:
    return {"name": entry.name, "address": show(entry.address), "protected": entry.protected}


def _write_entry(entry: IdentityEntry) -> None:
    _write(f"name        {entry.name}\n")
    _write(f"address     {show(entry.address)}\n")
    _write(f"protected   {'yes' if entry.protected else 'no'}\n")


def _write_json(value: object) -> None:
    _write(json_text(value) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
