"""What is no YAML, or no mapping, is refused with file, line, column and the cause."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import parse

REFUSED = {
    "tab": (
        "a:\n\tb: 1",
        "f.yaml:2:1: not readable as YAML: while scanning for the next token, "
        "found character that cannot start any token",
    ),
    "bracket not closed": (
        "a: [1, 2\nb: 3\n",
        "f.yaml:2:2: not readable as YAML: while parsing a flow sequence, "
        "did not find expected ',' or ']'",
    ),
    "quote not closed": (
        "a: 'x\n",
        "f.yaml:2:1: not readable as YAML: while scanning a quoted scalar, "
        "found unexpected end of stream",
    ),
    "wrong indentation": (
        "a:\n  b: 1\n c: 2\n",
        "f.yaml:3:2: not readable as YAML: while parsing a block mapping, "
        "did not find expected key",
    ),
    "undefined alias": ("a: *b", "f.yaml:1:4: not readable as YAML: found undefined alias"),
    "other YAML version": (
        "%YAML 9.9\n---\na",
        "f.yaml:1:1: not readable as YAML: found incompatible YAML document",
    ),
    "NUL": (
        "a: 1\nö\x00",
        "f.yaml:2:2: not readable as YAML: unacceptable character #x0000: "
        "control characters are not allowed",
    ),
    "half a character": ("a: \ud800", "f.yaml: not readable as YAML: surrogates not allowed"),
    "key twice": ("a: {b: 1, c: 2, b: 3}", "f.yaml:1:17: a: 'b' stands twice, first in line 1"),
    "key twice at the root": (
        "a: 1\nb: 2\na: 3\n",
        "f.yaml:3:1: the document: 'a' stands twice, first in line 1",
    ),
    "key that is a list": ("a:\n  ? [b]\n  : c", "f.yaml:2:5: a: a key must be text"),
    "list": ("- 1\n", "f.yaml:1:1: the document: expected a mapping, found a list"),
    "text": ("\nhello\n", "f.yaml:2:1: the document: expected a mapping, found 'hello'"),
    "tag": ("a: !foo x", "f.yaml:1:4: a: the tag !foo is not supported"),
    "bytes": ("a: !!binary aGk=", "f.yaml:1:4: a: the tag !!binary is not supported"),
    "Python object": (
        "a: !!python/name:os.system ''",
        "f.yaml:1:4: a: the tag !!python/name:os.system is not supported",
    ),
    "tag that does not fit": ("a: !!int x", "f.yaml:1:4: a: 'x' is not readable as !!int"),
    "tag on nothing": ("a: !!int", "f.yaml:1:4: a: '' is not readable as !!int"),
    "anchor twice": (
        "a: &a 1\nb: &a 2\n",
        "f.yaml:2:4: not readable as YAML: found duplicate anchor; first occurrence, "
        "second occurrence",
    ),
    "no YAML after a wrong value": (
        "a: !foo x\nb: [",
        "f.yaml:3:1: not readable as YAML: while parsing a flow node, "
        "did not find expected node content",
    ),
    "number of 5000 digits": (
        f"a: {'9' * 5000}",
        f"f.yaml:1:4: a: '{'9' * 40}' is not readable as !!int",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        parse(text, "f.yaml")
    assert str(error.value) == message


def test_a_wrong_second_document_spoils_the_file() -> None:
    with pytest.raises(BadRules, match=r"^f\.yaml:3:5: not readable as YAML"):
        parse("a: 1\n---\nb: c: d\n", "f.yaml")


def test_plain_values_are_what_kubernetes_takes_them_for() -> None:
    (document,) = parse(
        "a: =\nb: <<\nc: 2020-13-45\nd: 1:30\ne: 010\nf: 0x1f\n"
        "g: .5\nh: yes\ni: ~\nj: 1e3\non: '1'",
        "f.yaml",
    )
    assert document.root.to_python() == {
        "a": "=",
        "b": "<<",
        "c": "2020-13-45",
        "d": "1:30",
        "e": 8,
        "f": 31,
        "g": 0.5,
        "h": True,
        "i": None,
        "j": "1e3",
        "on": "1",
    }
