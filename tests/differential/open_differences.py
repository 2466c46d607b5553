"""Differences that are understood and not mended: a pattern of the kind -> what it is."""

from __future__ import annotations

OPEN: dict[str, str] = {}
