"""The asyncio API: `await mfdb.aio.connect(...)`."""

from __future__ import annotations

from mfdb.client.aio import Change, Column, Connection, Result, connect

__all__ = ["Change", "Column", "Connection", "Result", "connect"]
