"""The sample runs of the reports, for what reads their files."""

from tests.reports.conftest import empty_run, green_run, hostile_run, mixed_run

__all__ = ["empty_run", "green_run", "hostile_run", "mixed_run"]
