"""Reading a value as something says what was expected, what stands there and where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import Value, parse

TEXT = """\
text: hello
number: 7
zero: 0
truth: true
nothing:
list: [a, 1]
mapping: {a: b, c: 1}
"""


@pytest.fixture
def root() -> Value:
    return parse(TEXT, "f.yaml")[0].root


READ: dict[str, tuple[Callable[[Value], object], object]] = {
    "text": (lambda root: root.need("text").text(), "hello"),
    "integer": (lambda root: root.need("number").integer(7, 7), 7),
    "a number that is 0": (lambda root: root.need("zero").integer(0, 1), 0),
    "boolean": (lambda root: root.need("truth").boolean(), True),
    "list": (lambda root: [entry.to_python() for entry in root.need("list").items()], ["a", 1]),
    "choice": (lambda root: root.need("text").choice("hallo", "hello"), "hello"),
    "absent": (lambda root: root.get("gone"), None),
    "null": (lambda root: root.get("nothing"), None),
    "plain": (lambda root: root.need("mapping").to_python(), {"a": "b", "c": 1}),
}
REFUSED: dict[str, tuple[Callable[[Value], object], str]] = {
    "number as text": (
        lambda root: root.need("number").text(),
        "2:9: number: expected text, found 7",
    ),
    "text as number": (
        lambda root: root.need("text").integer(1, 9),
        "1:7: text: expected a whole number from 1 to 9, found 'hello'",
    ),
    "number too large": (
        lambda root: root.need("number").integer(1, 6),
        "2:9: number: expected a whole number from 1 to 6, found 7",
    ),
    "number too small": (
        lambda root: root.need("number").integer(8, 9),
        "2:9: number: expected a whole number from 8 to 9, found 7",
    ),
    "truth as number": (
        lambda root: root.need("truth").integer(0, 1),
        "4:8: truth: expected a whole number from 0 to 1, found True",
    ),
    "number as truth": (
        lambda root: root.need("zero").boolean(),
        "3:7: zero: expected true or false, found 0",
    ),
    "list as mapping": (
        lambda root: root.need("list").mapping(),
        "6:7: list: expected a mapping, found a list",
    ),
    "mapping as list": (
        lambda root: root.need("mapping").items(),
        "7:10: mapping: expected a list, found a mapping",
    ),
    "null as text": (
        lambda root: root.mapping()["nothing"].text(),
        "5:9: nothing: expected text, found nothing",
    ),
    "one value of several is no text": (
        lambda root: root.need("mapping").text_mapping(),
        "7:20: mapping.c: expected text, found 1",
    ),
    "no choice": (
        lambda root: root.need("text").choice("hallo", "bye"),
        "1:7: text: 'hello' is not one of hallo, bye; did you mean 'hallo'?",
    ),
    "key missing": (lambda root: root.need("spec"), "1:1: the document: 'spec' is missing"),
    "key misspelt": (
        lambda root: root.need("mappings"),
        "7:1: the document: 'mappings' is missing; is 'mapping' a misspelling of it?",
    ),
    "key empty": (lambda root: root.need("nothing"), "5:1: the document: 'nothing' is empty"),
}


@pytest.mark.parametrize(("look", "content"), READ.values(), ids=READ)
def test_read(root: Value, look: Callable[[Value], object], content: object) -> None:
    assert look(root) == content


@pytest.mark.parametrize(("look", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(root: Value, look: Callable[[Value], object], message: str) -> None:
    with pytest.raises(BadRules) as error:
        look(root)
    assert str(error.value) == f"f.yaml:{message}"
