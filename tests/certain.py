"""Limits for a test that judges a real mesh itself, for less than 1 mistake in a million runs."""

from __future__ import annotations

from meshproof.verdict import Settings

CERTAIN = Settings(alpha=1e-9, alpha_independence=1e-9, beta=1e-6)
