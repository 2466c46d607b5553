"""Whatever stands in a file: it is read, or BadRules says why not; nothing else ever comes out."""

from __future__ import annotations

import contextlib
import re
import tempfile
from importlib.resources import files
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.mesh.envoy import topology

MANIFESTS = Path(str(files("meshproof.manifests")))
REAL = [path.read_text() for path in sorted(MANIFESTS.rglob("*.yaml"))]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
yaml_words = st.sampled_from(
    sorted({word for text in REAL for word in re.findall(r"[\w./]+", text)})
)
objects = st.recursive(
    scalars | yaml_words,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(yaml_words | st.text(), inner, max_size=5)
    ),
    max_leaves=30,
)
signs = "\t\n\0-?:,[]{}#&*!|>'\"%@`~ \ufeff\x85"
snippets = st.sampled_from([*signs, "<<: ", "- ", "--- "])


def survives(text: str) -> None:
    """Read `text` as far as it goes: as documents, then as rules and as apps."""
    with contextlib.suppress(BadRules):
        documents = manifest.parse(text, "f.yaml")
        with contextlib.suppress(BadRules):
            rules.read_rules(documents)
        topology.read_topology(documents)


@example("a: &a\n  <<: *a\n")
@example("? |\n  a\n: b")
@settings(deadline=None)
@given(st.lists(snippets | st.text(max_size=5) | yaml_words, max_size=30).map("".join))
def test_any_text(text: str) -> None:
    survives(text)


@settings(deadline=None)
@given(st.lists(objects, min_size=1, max_size=3))
def test_any_objects(objects: list[object]) -> None:
    survives(yaml.safe_dump_all(objects))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_real_file_with_a_few_edits(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(REAL))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(snippets | yaml_words | st.just("")) + text[end:]
    survives(text)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_in_a_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f.yaml"
        file.write_bytes(content)
        with contextlib.suppress(BadRules):
            manifest.read([file])
