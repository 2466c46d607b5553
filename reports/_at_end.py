"""A report that is written as a whole once the run is over."""

from __future__ import annotations

from meshproof.run.record import Result, Run


class WriterAtEnd:
    """Writes nothing before the end; `ended` is that of each report."""

    def started(self, run: Run) -> None:
        """Write nothing yet."""

    def progress(self, text: str) -> None:
        """Write nothing: progress is no result."""

    def finished(self, result: Result) -> None:
        """Write nothing yet."""
