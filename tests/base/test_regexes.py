"""Regexes are compiled as istiod and its proxies take them; what is too large is refused."""

from __future__ import annotations

import pytest

from meshproof.base.regexes import compile_regex


@pytest.mark.parametrize("pattern", ["a" * 1024, "[a-z]{1000}", ".{1000}", "a{1,1000}" * 10])
def test_a_regex_of_a_size_that_istio_takes_is_compiled(pattern: str) -> None:
    assert not isinstance(compile_regex(pattern), str)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a" * 1025, "istiod takes at most 1024"),
        ("é" * 600, "it has 1200 bytes"),
        ("a{1,1000}" * 20, "larger than Istio's proxies take"),
        ("a{1,1000}" * 100, "pattern too large"),
        ("(?:(?:(?:a?){100}){100}){100}", "invalid repetition size"),
        ("(a", "missing )"),
    ],
)
def test_a_regex_that_istio_refuses_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    refusal = compile_regex(pattern)
    assert isinstance(refusal, str)
    assert reason in refusal
