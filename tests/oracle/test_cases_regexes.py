"""A regex is told from slightly wrong ones: the cases have a value on which they differ."""

from __future__ import annotations

import itertools

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import At
from meshproof.oracle import strings
from meshproof.rules.model import StringMatch

WRONG = {
    "class one wider": ("/a/[a-f]{2,4}", "/a/[a-g]{2,4}"),
    "class one narrower": ("/a/[a-f]{2,4}", "/a/[a-e]{2,4}"),
    "first of a class lost": ("/a/[a-f]{2,4}", "/a/[b-f]{2,4}"),
    "with digits": ("/a/[a-z]+", "/a/[a-z0-9]+"),
    "without capitals": ("/a/[A-Za-z0-9]+", "/a/[a-z0-9]+"),
    "with a dash": ("/a/[a-z]+", "/a/[a-z-]+"),
    "one fewer": ("/a/[a-f]{2,4}", "/a/[a-f]{1,4}"),
    "one more": ("/a/[a-f]{2,4}", "/a/[a-f]{2,5}"),
    "not the longest": ("/a/[a-f]{2,4}", "/a/[a-f]{2,3}"),
    "not the shortest": ("/a/[a-f]{2,4}", "/a/[a-f]{3,4}"),
    "at most 40": ("/a/[a-f]+", "/a/[a-f]{1,40}"),
    "none at all": ("/a/[a-f]+", "/a/[a-f]*"),
    "dot not escaped": (r"/a/v1\.0", "/a/v1.0"),
    "tail": ("/a/[0-9]+", "/a/[0-9]+.*"),
    "tail below": ("/a/[0-9]+", "/a/[0-9]+(/.*)?"),
    "tail after a dot": (r"https://[a-z]+\.example", r"https://[a-z]+\.example(\..*)?"),
    "head": ("/a/[0-9]+", ".*/a/[0-9]+"),
}


@pytest.mark.parametrize(("right", "wrong"), WRONG.values(), ids=list(WRONG))
def test_a_slightly_wrong_regex_differs_on_a_value(right: str, wrong: str) -> None:
    condition, other = (StringMatch("regex", text, At("a.yaml", 1)) for text in (right, wrong))
    value = next(strings.generate_matches(condition, ""))
    tried = itertools.chain(
        [("", value)],
        strings.generate_similar_matches(condition, value),
        strings.generate_near_misses(condition, value),
    )
    values = [value for _, value in tried]
    assert any(strings.matches(condition, text) != strings.matches(other, text) for text in values)


def test_near_misses_are_few() -> None:
    condition = StringMatch("regex", "/[a-z]+/[0-9]+/[A-F]{3}/[a-z_]+", At("a.yaml", 1))
    value = next(strings.generate_matches(condition, ""))
    assert len(list(strings.generate_near_misses(condition, value))) <= 18


@pytest.mark.parametrize("pattern", ["(?:(?:(?:a?){100}){100}){100}", "a{1,1000}" * 100])
def test_a_regex_that_istio_refuses_is_refused_before_a_value_is_made(pattern: str) -> None:
    condition = StringMatch("regex", pattern, At("a.yaml", 1))
    with pytest.raises(BadRules, match=r"a\.yaml:1:1: RE2 does not take the regex"):
        list(strings.generate_matches(condition, ""))
