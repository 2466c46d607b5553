"""Loads pytester for the project's own tests (pytest allows that only at the root)."""

pytest_plugins = ["pytester"]
