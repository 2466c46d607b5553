from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import pytest

from meshproof.base.clues import Clue
from meshproof.base.errors import Inconclusive, NotReady
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.mesh.protocol import Address
from meshproof.traffic.failure_analysis import FailureAnalysis, describe_response, is_policy_refusal
from meshproof.traffic.visits import Visits
from meshproof.verdict import Verdict, judge

PLAIN = HttpRequest("/productpage")
Answer = Callable[[int], tuple[str, str]]


class Scripted(Visits):
    """Visits without a mesh: `answer` gives version and pod of each by its number."""

    def __init__(self, answer: Answer, requests: Sequence[HttpRequest] = (PLAIN,)) -> None:
        super().__init__(Address("127.0.0.1", 1), requests, "run")
        self._answer = answer

    def __iter__(self) -> Iterator[HttpResponse]:
        while True:
            version, pod = self._answer(self.sent)
            request = self.requests[self.sent % len(self.requests)]
            self.sent += 1
            status = 200 if version else 404
            body = f"Reviews served by: {version}" if version else ""
            yield HttpResponse(request, status, {"x-served-by": pod}, body.encode())


def seen(sample: Visits, expect: dict[str, float]) -> tuple[FailureAnalysis, Verdict]:
    watch = FailureAnalysis(sample, "reviews")
    return watch, judge(map(watch, sample), expect)


def test_a_promise_kept_needs_no_clue() -> None:
    watch, verdict = seen(Scripted(lambda number: ("v3", "p0")), {"v3": 1})
    assert watch.explain(verdict).clues == ()


def test_more_visits_explain_a_verdict_after_few() -> None:
    versions = cycle(["v1", "v2", "v3"])
    sample = Scripted(lambda number: (next(versions), "p0"))
    watch, verdict = seen(sample, {"v3": 1})
    (clue,) = watch.explain(verdict).clues
    assert verdict.n == 10
    assert clue.subject == "of 200 visits in all"
    assert clue.fact.startswith("v1 67, v2 67, v3 66; all versions answer about")
    assert clue.fact.endswith("or a route before it takes everything (route order)")


def test_a_match_is_named_as_a_possible_cause() -> None:
    versions = cycle(["v1", "v2", "v3"])
    watch, verdict = seen(Scripted(lambda number: (next(versions), "p0")), {"v3": 1})
    (clue,) = watch.explain(verdict, has_match=True).clues
    assert "its match does not fit" in clue.fact


def test_a_mesh_that_no_longer_responds_changes_no_verdict() -> None:
    def answer(number: int) -> tuple[str, str]:
        if number >= 10:
            raise NotReady("gone")
        return "v1", "p0"

    watch, verdict = seen(Scripted(answer), {"v3": 1})
    assert watch.explain(verdict).clues == ()


def test_the_pod_with_all_wrong_responses_is_named() -> None:
    sample = Scripted(lambda number: ("v1", "p1") if number % 2 else ("v3", "p0"))
    watch, verdict = seen(sample, {"v3": 1})
    assert watch.explain(verdict).clues[1] == Clue(
        "only some pods give wrong answers", "p1: 100 of 100 wrong; p0: none"
    )


def test_a_pod_is_not_cleared_by_luck() -> None:
    sample = Scripted(lambda number: ("v1" if number == 1 else "v3", f"p{number % 2}"))
    watch, verdict = seen(sample, {"v3": 1})
    assert watch.explain(verdict).clues == (Clue("of 200 visits in all", "v1 1, v3 199"),)


def test_the_kind_of_request_with_wrong_responses_is_named() -> None:
    kinds = [HttpRequest("/productpage", (("Cookie", value),)) for value in ("user=burr", "a=b")]
    sample = Scripted(lambda number: ("v1" if number % 2 else "v3", "p0"), kinds)
    watch, verdict = seen(sample, {"v3": 1})
    explanation = watch.explain(verdict)
    assert explanation.clues[1] == Clue(
        "only some requests give wrong answers",
        "Cookie: a=b: 100 of 100 wrong; Cookie: user=burr: none",
    )
    assert explanation.curl == "curl -i -H 'Cookie: a=b' http://127.0.0.1:1/productpage"


def test_responses_without_a_version_are_described() -> None:
    watch, verdict = seen(Scripted(lambda number: ("", "p0")), {"v3": 1})
    assert watch.explain(verdict).summary == (
        "10 of 10 answers named no version, too many to judge by the others; "
        "all were HTTP 404, empty"
    )


def test_a_label_that_is_no_version_is_not_called_one() -> None:
    sample = Scripted(lambda number: ("v3", "p0"))
    watch = FailureAnalysis(sample, lambda visit: "half a page")
    verdict = judge(map(watch, sample), {"whole page": 1})
    explanation = watch.explain(verdict)
    assert explanation.summary == "10 of 10 answers: half a page"
    assert explanation.clues == (Clue("of 200 visits in all", "half a page 200"),)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "HTTP 503, empty"),
        ("no healthy upstream", 'HTTP 503, "no healthy upstream"'),
        (
            "<title>A</title><h1>Shop</h1><p>Sorry, &lt;closed&gt;</p>",
            'HTTP 503, "Sorry, <closed>"',
        ),
        ("<style>a { error: b }</style><p>Fine", 'HTTP 503, "Fine"'),
        ("x" * 99, f'HTTP 503, "{"x" * 80}..."'),
    ],
)
def test_words_of_an_answer(body: str, said: str) -> None:
    assert describe_response(HttpResponse(PLAIN, 503, {}, body.encode())) == said


class Refusing(Scripted):
    """Visits that a policy of the mesh refuses, from one number on, up to another."""

    def __init__(self, first: int, last: int, version: str = "v1") -> None:
        super().__init__(lambda number: (version, "p0"))
        self._refused = range(first, last)

    def __iter__(self) -> Iterator[HttpResponse]:
        for number, visit in enumerate(super().__iter__()):
            if number in self._refused:
                yield HttpResponse(visit.request, 403, {}, b"RBAC: access denied")
            else:
                yield visit


def page(visit: HttpResponse) -> str:
    return "page" if visit.status == 200 else describe_response(visit)


@pytest.mark.parametrize("by", ["reviews", page], ids=["by an app", "by a function"])
@pytest.mark.parametrize("first", [0, 5])
def test_what_a_policy_of_the_mesh_refuses_tells_nothing_of_a_rule(
    by: str | Callable[[HttpResponse], str], first: int
) -> None:
    sample = Refusing(first, 10_000)
    watch = FailureAnalysis(sample, by)
    verdict = judge(map(watch, sample), {"v1" if by == "reviews" else "page": 1})
    assert not verdict.holds
    told = r"(?s)AuthorizationPolicy.*action ALLOW.*observed: \d+ of \d+ answers.*see it: curl -i"
    with pytest.raises(Inconclusive, match=told):
        watch.raise_if_policy_refused(verdict)


def test_answers_that_are_wrong_otherwise_fail_though_others_are_refused() -> None:
    watch = FailureAnalysis(sample := Refusing(3, 10_000, "v2"), "reviews")
    verdict = judge(map(watch, sample), {"v1": 1})
    assert not verdict.holds
    watch.raise_if_policy_refused(verdict)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_verdict_that_holds_or_fails_without_a_refusal_stays(version: str) -> None:
    watch, verdict = seen(Scripted(lambda number: (version, "p0")), {"v1": 1})
    assert verdict.holds == (version == "v1")
    watch.raise_if_policy_refused(verdict)


@pytest.mark.parametrize(
    ("status", "body", "is_one"),
    [
        (403, b"RBAC: access denied", True),
        (403, b"", False),
        (403, b"RBAC: access denied by shop", False),
        (200, b"RBAC: access denied", False),
    ],
)
def test_a_refusal_has_exactly_the_words_of_envoy(status: int, body: bytes, is_one: bool) -> None:
    assert is_policy_refusal(HttpResponse(PLAIN, status, {}, body)) == is_one
