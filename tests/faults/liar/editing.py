"""Copies a folder of Envoy config to another one, with a wrong serving in it. Stdlib only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wrong_servings  # type: ignore[import-not-found]  # beside this file

_POLL_SECONDS = 0.02
_UNEDITED = "echo"  # the Envoy of the workloads


class Editor:
    """Keeps edited copies of the JSON files of `folder`; `lie` holds the name of the edit.

    After `@` in it is the name of the one resource that is edited.
    """

    def __init__(self, folder: Path, lie: Path) -> None:
        self._folder = folder
        self._lie = lie
        self._copies = folder / "lie"
        self._copies.mkdir(exist_ok=True)
        self._seen: dict[str, tuple[str, str]] = {}

    def path(self, name: str) -> Path:
        """Return where the edited copy of a file is."""
        return self._copies / name

    def update_while(self, goes_on: Callable[[], bool]) -> None:
        """Edit what changes, until `goes_on` is false."""
        while goes_on():
            self.update()
            time.sleep(_POLL_SECONDS)

    def update(self) -> None:
        """Write the copy of each file that has changed, all of them after a change of the lie.

        Listeners name the files of their routes: these are read again after them, and copied before
        them, since Envoy refuses a file that is not there.
        """
        lie = self._lie.read_text()
        texts: dict[Path, str] = {}
        for _ in range(2):
            for source in sorted(self._folder.glob("*.json")):
                if source not in texts:
                    texts[source] = source.read_text()
        for source, text in sorted(texts.items(), reverse=True):
            if self._seen.get(source.name) != (lie, text):
                self._seen[source.name] = lie, text
                self._write(source.name, self._edit(text, lie))

    def _write(self, name: str, config: Any) -> None:
        """Replace a copy by a rename, as Envoy wants it."""
        scratch = self._copies / f".{name}"
        scratch.write_text(json.dumps(config))
        scratch.rename(self.path(name))

    def _edit(self, text: str, lie: str) -> Any:
        """Return a config with its paths moved to the copies, and with the lie in it.

        A mark in it shows in Envoy's own dump once this is what it serves.
        """
        for end in ("/", '"'):
            text = text.replace(f'"{self._folder}{end}', f'"{self._copies}{end}')
        config = json.loads(text)
        if self._folder.name != _UNEDITED:
            mark, _, wrong = lie.partition(" ")
            name, _, only = wrong.partition("@")
            for resource in config.get("resources", ()):
                wrong_servings.serve_wrongly(name, resource, only)
            for resource in config.get("resources", ())[:1]:
                _add_mark(resource, mark)
        return config


def _add_mark(resource: Any, mark: str) -> None:
    """Add the mark to a resource, where nothing depends on it."""
    if resource["@type"].endswith("RouteConfiguration"):
        resource["virtual_hosts"].append({"name": mark, "domains": [f"{mark}.invalid"]})
