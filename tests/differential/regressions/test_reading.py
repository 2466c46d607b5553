"""Rules that a real istiod takes, or refuses, and that were read otherwise."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules, Unsupported
from meshproof.documents import manifest
from meshproof.rules.model import RuleSet
from tests.mesh.envoy.translating import ruleset

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
  - {}
"""


def read(route: str) -> RuleSet:
    """Return the rules of one route."""
    return ruleset(ROUTE.format(route))


def test_a_body_of_bytes_is_a_text_in_base64() -> None:
    # Istio reference, HTTPBody.bytes.
    (table,) = read("directResponse: {status: 200, body: {bytes: aGVsbG8=}}").tables
    response = table.routes[0].direct_response
    assert response is not None
    assert response.body == "hello"


def test_bytes_that_are_no_base64_are_an_error() -> None:
    with pytest.raises(BadRules, match=r"body.bytes: expected text in base64"):
        read("directResponse: {status: 200, body: {bytes: a}}")


def test_a_prefix_rewrite_beside_an_exact_match_is_an_error() -> None:
    # istiod: pkg/config/validation/validation.go, validateHTTPRedirect.
    with pytest.raises(BadRules, match="prefixRewrite needs a prefix"):
        read("{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}")


def test_a_header_that_a_route_and_its_destination_change_is_no_error() -> None:
    # istiod takes it: route.go, processDestination appends the changes.
    route = (
        "{headers: {response: {set: {x-a: one}}}, route: [{destination: {host: reviews}, "
        "headers: {response: {add: {x-a: two}}}}]}"
    )
    (problem,) = rules.collect_rules(manifest.parse(ROUTE.format(route), "r.yaml")).problems
    assert isinstance(problem, Unsupported)


@pytest.mark.parametrize(
    "fields",
    [
        "timeout: 0s",
        "timeout: 1.5ms",
        "retries: {attempts: 1, perTryTimeout: 0s}",
        "fault: {delay: {fixedDelay: 10us, percentage: {value: 1}}}",
    ],
)
def test_a_duration_below_a_millisecond_is_an_error(fields: str) -> None:
    # istiod: pkg/config/validation/agent/validation.go, ValidateDuration.
    with pytest.raises(BadRules, match="is not 1ms or more, in whole milliseconds; Istio refuses"):
        read(f"{{{fields}, route: [{{destination: {{host: reviews}}}}]}}")


def test_a_regex_that_re2_refuses_is_an_error_where_no_request_meets_it() -> None:
    # Found by seed 2026120201, set 48. istiod: pkg/config/validation/validation.go,
    # validateStringRegexp: it compiles every regex.
    match = "[{uri: {regex: '*'}, scheme: {exact: https}}]"
    with pytest.raises(BadRules, match=r"RE2 does not take the regex '\*'"):
        read(f"{{match: {match}, redirect: {{uri: /b}}}}")
