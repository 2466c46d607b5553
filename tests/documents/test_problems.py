"""What is wrong with a document is collected in order; a reader's keys are those of the shape."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.documents.problems import CheckedDocument, Support, check

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match: [{statPrefix: 1, uri: {exact: /a}}]
    retries: {backoff: 1s, atempts: 2}
    route: [{destination: {host: shop}}]
"""
SUPPORT = Support({"spec.http.retries.backoff": "nobody sees it"}, ("spec.http.match.statPrefix",))


def checked(text: str = TEXT, support: Support = SUPPORT) -> CheckedDocument:
    (document,) = parse(text, "r.yaml")
    return check(document, support)


def errors(document: CheckedDocument) -> list[str]:
    return [str(problem.error) for problem in document.problems]


def test_unknown_and_unsupported_keys_come_first_and_in_order_then_values_that_nobody_reads() -> (
    None
):
    assert errors(checked()) == [
        "r.yaml:8:15: spec.http[0].retries.backoff is not supported: nobody sees it",
        "r.yaml:8:28: spec.http[0].retries.atempts: unknown key 'atempts'; "
        "did you mean 'attempts'?",
        "r.yaml:7:26: spec.http[0].match[0].statPrefix: expected text, found 1",
    ]


def test_a_value_that_the_reader_reads_is_left_to_the_reader() -> None:
    reading = Support(SUPPORT.unsupported)
    assert len(errors(checked(support=reading))) == 2


def test_an_unsupported_key_without_a_value_says_nothing() -> None:
    assert not any("backoff" in error for error in errors(checked(TEXT.replace("1s", "null"))))


def test_an_old_key_that_the_reader_reads_is_no_problem() -> None:
    text = TEXT.replace("retries:", "httpReqRetries:")
    assert any("today it is 'retries'" in error for error in errors(checked(text)))
    old = Support(without_effect=SUPPORT.without_effect, old_keys=("spec.http.httpReqRetries",))
    assert all("today" not in error for error in errors(checked(text, old)))


def test_errors_while_reading_become_problems_of_the_value_and_what_is_around_it() -> None:
    document = checked()
    (route,) = document.document.spec.need("http").items()
    match = route.need("match").items()[0]
    before = len(document.list_errors(route))
    with document.collect(match):
        match.need("uri").integer(0, 1)
    assert len(document.list_errors(route)) == before + 1
    assert "found a mapping" in str(document.list_errors(match)[-1])
    assert not document.list_errors(route.need("route"))


def test_another_exception_is_not_kept() -> None:
    document = checked()
    with pytest.raises(ZeroDivisionError), document.collect(document.document.root):
        _ = 1 / 0
