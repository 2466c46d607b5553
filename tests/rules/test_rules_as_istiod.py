"""What istiod makes of rules that read otherwise (compared with a real istiod's routes)."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.rules.model import Match, RouteTable
from tests.rules.refusing import refused

HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
"""
TO = "    route: [{destination: {host: cart}}]\n"
ANYBODY = ((), "")


def read(text: str) -> RouteTable:
    (table,) = rules.read_rules(manifest.parse(HEAD + text, "r.yaml")).tables
    return table


def read_matches(match: str, gateways: str) -> tuple[Match, ...]:
    return read(f"  gateways: [{gateways}]\n  http:\n  - match: [{match}]\n{TO}").routes[0].matches


@pytest.mark.parametrize("callers", ["sourceLabels: {app: web}", "sourceNamespace: front"])
def test_a_match_that_names_gateways_holds_there_for_every_caller(callers: str) -> None:
    (match,) = read_matches(f"{{gateways: [mesh], {callers}}}", "mesh")
    assert (match.source, match.source_namespace) == ANYBODY
    assert match.gateways == ("mesh",)


@pytest.mark.parametrize(
    "callers", ["sourceLabels: {istio: ingressgateway}", "sourceNamespace: istio-system"]
)
def test_at_a_gateway_the_gateway_is_the_caller(callers: str) -> None:
    sidecar, gateway = read_matches(f"{{{callers}}}", "gw, mesh")
    assert sidecar.gateways == ("mesh",)
    assert (sidecar.source, sidecar.source_namespace) != ANYBODY
    assert gateway.gateways == ("shop/gw",)
    assert (gateway.source, gateway.source_namespace) == ANYBODY


@pytest.mark.parametrize("callers", ["sourceLabels: {app: web}", "sourceNamespace: front"])
def test_another_caller_never_comes_to_a_gateway(callers: str) -> None:
    (match,) = read_matches(f"{{{callers}}}", "gw")
    assert match.gateways == ("mesh",)


def test_callers_of_sidecars_alone_stay_as_they_are() -> None:
    (match,) = read_matches("{sourceLabels: {app: web}}", "mesh")
    assert (match.gateways, match.source) == ((), (("app", "web"),))


def test_the_regex_star_of_without_headers_means_any_value() -> None:
    (match,) = read_matches('{withoutHeaders: {x-a: {regex: "*"}}}', "mesh")
    ((_, condition),) = match.without_headers
    assert condition.kind == "present"


@pytest.mark.parametrize(
    "match", ['headers: {x-a: {regex: "*"}}', 'uri: {regex: "*"}', 'queryParams: {q: {regex: "*"}}']
)
def test_the_regex_star_elsewhere_is_refused(match: str) -> None:
    with pytest.raises(BadRules, match=r"RE2 does not take the regex '\*'"):
        read_matches(f"{{{match}}}", "mesh")


@pytest.mark.parametrize(
    "match",
    [
        'uri: {prefix: "", exact: /admin}',
        'withoutHeaders: {x-a: {regex: "*", exact: a}}',
    ],
)
def test_a_shortcut_beside_another_condition_is_refused(match: str) -> None:
    text = f"{HEAD}  http:\n  - match: [{{{match}}}]\n{TO}"
    assert "expected one of exact, prefix, regex" in refused(text)


def test_an_empty_prefix_is_one_of_every_path() -> None:
    (match,) = read_matches('{uri: {prefix: ""}}', "mesh")
    assert match.uri is None
    assert "text that is not empty" in refused(
        f'{HEAD}  http:\n  - match: [{{uri: {{exact: ""}}}}]\n{TO}'
    )


def test_a_single_destination_takes_all_whatever_its_weight() -> None:
    table = read("  http: [{route: [{destination: {host: cart}, weight: 0}]}]\n")
    assert [target.weight for target in table.routes[0].split] == [100]


def test_a_destination_of_several_without_a_weight_takes_nothing() -> None:
    table = read(
        "  http: [{route: [{destination: {host: cart}, weight: 3}, {destination: {host: pay}}]}]\n"
    )
    assert [target.weight for target in table.routes[0].split] == [3, 0]


@pytest.mark.parametrize(
    "rest", ["perTryTimeout: 1s", "retryOn: 5xx", "retryRemoteLocalities: true"]
)
@pytest.mark.parametrize("attempts", ["attempts: 0, ", ""])
def test_details_of_no_retries_are_refused(attempts: str, rest: str) -> None:
    message = refused(f"{HEAD}  http:\n  - retries: {{{attempts}{rest}}}\n{TO}")
    assert f"'{rest.partition(':')[0]}' says nothing without attempts above 0" in message


@pytest.mark.parametrize("status", ["599", "99", "306", "509"])
def test_a_retry_on_a_status_without_a_name_is_refused(status: str) -> None:
    text = f'{HEAD}  http:\n  - retries: {{attempts: 1, retryOn: "{status}"}}\n{TO}'
    assert f"'{status}' is no condition of a retry, nor a status" in refused(text)
