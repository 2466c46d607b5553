"""`-o json`: the whole record on standard output at the end of the run, as run.json has it."""

from __future__ import annotations

import json
from pathlib import Path

from meshproof.base.output import encode_json
from meshproof.run.record import Run

from . import _terminal
from ._at_end import WriterAtEnd


class Writer(WriterAtEnd):
    """Prints one JSON object; docs/reference/run.schema.json is its schema."""

    def __init__(self, folder: Path) -> None:
        self._stdout = _terminal.open_stdout()

    def ended(self, run: Run) -> None:
        """Print the record."""
        self._stdout.write(f"{encode_json(json.loads(run.to_json()))}\n")
        self._stdout.close()
