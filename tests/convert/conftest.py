from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof import convert
from meshproof.convert import Conversion
from meshproof.convert.source import Source, read_source

Objects = dict[tuple[str, str], Any]


@dataclass(frozen=True)
class Converted:
    """A conversion of one file, `old.yaml`, with its objects by kind and name."""

    source: Source
    conversion: Conversion

    @property
    def text(self) -> str:
        return self.conversion.text

    @property
    def objects(self) -> Objects:
        found = list(yaml.safe_load_all(self.text))
        named = {(one["kind"], one["metadata"]["name"]): one for one in found}
        assert len(named) == len(found)
        return named

    def routes(self, name: str) -> Any:
        return self.objects["VirtualService", name]["spec"]["http"]

    @property
    def said(self) -> list[str]:
        """The notes, as a person reads them."""
        return [str(note) for note in self.conversion.notes]


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Converted]:
    """Convert a text, as if it stood in `old.yaml`."""
    monkeypatch.chdir(tmp_path)

    def do(text: str, **options: bool) -> Converted:
        Path("old.yaml").write_text(text)
        source = read_source(["old.yaml"])
        return Converted(source, convert.convert(source, **options))

    return do


RULE = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {{name: {name}}}
spec:
  destination: {{name: shop}}
"""


@pytest.fixture
def rule() -> Callable[..., str]:
    """Return the text of a RouteRule of the service shop: its first lines, then lines of spec."""

    def text(*spec: str, name: str = "r") -> str:
        return RULE.format(name=name) + "".join(f"  {line}\n" for line in spec)

    return text
