"""Rows from and to files on this side."""

from __future__ import annotations
