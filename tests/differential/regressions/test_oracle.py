"""Cases of the oracle that a real istiod answered otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.documents.value import At
from meshproof.oracle.actions import expect_answer
from meshproof.oracle.dead_ends import DeadEndKind
from meshproof.oracle.derive import Call, derive
from meshproof.rules.actions import Redirect
from meshproof.rules.model import Route
from meshproof.user_rules import loading
from tests.differential.world import describe_world
from tests.mesh.envoy.translating import ruleset

FROM_ELSEWHERE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{sourceNamespace: shop}]
    route: [{destination: {host: reviews}}]
"""


def test_a_caller_of_another_namespace_has_no_short_name_of_a_host() -> None:
    # istiod: pilot/pkg/networking/core/httproute.go, generateVirtualHostDomains.
    calls = [case.call for case in derive(ruleset(FROM_ELSEWHERE)).cases]
    from_shop = {call.host_header for call in calls if call.namespace == "shop"}
    assert "reviews.default" in from_shop
    assert not {"reviews", "reviews:80"} & from_shop


WITHOUT_SLASH = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - redirect: {uri: new, authority: other.example}
"""


def test_a_redirect_to_a_path_without_a_slash_has_one() -> None:
    # istiod gives Envoy the uri as it is (route.go, ApplyRedirect); Envoy puts the slash.
    replies = {case.answer.proxy_reply for case in derive(ruleset(WITHOUT_SLASH)).cases}
    locations = {reply.location.partition("?")[0] for reply in replies if reply}
    assert locations == {"http://other.example/new"}


EMPTY_PREFIX = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: ""}}]
    rewrite: {uri: /new}
    route: [{destination: {host: reviews}}]
"""


def test_a_rewrite_of_an_empty_prefix_takes_no_slash_away() -> None:
    # istiod: route.go, TranslateRouteMatch and applyHTTPRouteDestination (prefix_rewrite of "").
    arrivals = [
        (case.call.path, arrival.path.partition("?")[0])
        for case in derive(ruleset(EMPTY_PREFIX)).cases
        for arrival in case.answer.arrivals
    ]
    assert arrivals
    assert all(path == f"/new{asked}" for asked, path in arrivals), arrivals


REDIRECTED = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {prefixRewrite: /new}
  - redirect: {prefixRewrite: /any, authority: other.example}
"""


def test_a_redirect_replaces_the_prefix_of_its_match() -> None:
    # istiod: route.go, ApplyRedirect (prefix_rewrite).
    for case in derive(ruleset(REDIRECTED)).cases:
        reply = case.answer.proxy_reply
        assert reply is not None
        location = reply.location.partition("?")[0]
        if case.route_index == 0:
            assert location.partition("/new")[2] == case.call.path.removeprefix("/old")
        else:
            assert location == f"http://other.example/any{case.call.path[1:]}"


@pytest.mark.parametrize(("port", "scheme"), [(80, "http"), (443, "https")])
def test_a_redirect_to_the_port_of_its_scheme_keeps_that_of_the_request(
    port: int, scheme: str
) -> None:
    # istiod: route.go, ApplyRedirect (no explicit :80 or :443); then Envoy keeps the request's.
    route = Route((), (), At("rules.yaml", 1), redirect=Redirect(301, scheme=scheme, port=port))
    locations = []
    for call in Call("reviews", authority="reviews:8080", port=8080), Call("reviews"):
        reply = expect_answer(route, None, call).proxy_reply
        assert reply is not None
        locations.append(reply.location)
    assert locations == [f"{scheme}://reviews:8080/", f"{scheme}://reviews/"]


OF_ONE_PORT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{port: 80, authority: {prefix: reviews}}]
    route: [{destination: {host: reviews}}]
"""


def test_a_request_to_another_port_names_that_port() -> None:
    # Found by seed 90001, set 73: a name without a port is that of port 80 in the local mesh.
    # istiod: pilot/pkg/networking/core/httproute.go, generateVirtualHostDomains.
    ports = {"reviews.default.svc.cluster.local": [80, 8080]}
    calls = [case.call for case in derive(ruleset(OF_ONE_PORT), ports).cases]
    elsewhere = [call.host_header for call in calls if call.port == 8080]
    assert elsewhere
    assert all(name.endswith(":8080") for name in elsewhere), elsewhere


WITH_DEAD_END = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: reviews}, weight: 50}
    - {destination: {host: nowhere}, weight: 50}
    retries: {attempts: 2, retryOn: 5xx}
"""


def test_a_request_that_is_to_fail_has_the_dead_end_of_its_route(tmp_path: Path) -> None:
    # istiod has no cluster for a host that is not there: Envoy answers before any workload fails.
    path = tmp_path / "set.yaml"
    path.write_text(f"{WITH_DEAD_END}---\n{describe_world()}")
    cases = loading.load([str(path)]).plan.cases
    failing = [case for case in cases if case.answer.instruction_headers and not case.shares]
    assert failing
    assert all([dead_end.share for dead_end in case.dead_ends] == [0.5] for case in failing)


FIRST_MATCH_OF_TWO = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{}, {uri: {prefix: /a/}}]
    route: [{destination: {host: reviews}}]
    rewrite: {uri: /new}
"""


def test_a_request_with_a_query_is_rewritten_by_the_match_that_decides() -> None:
    # Found by seed 351477059, set 207: the first match, without a path, counts as prefix /.
    # istiod: pilot/pkg/networking/core/route/route.go, TranslateRoute (a route for each match).
    cases = derive(ruleset(FIRST_MATCH_OF_TWO)).cases
    paths = {
        arrival.path.partition("?")[0]
        for case in cases
        if case.call.path == "/a/" and case.call.query
        for arrival in case.answer.arrivals
    }
    assert paths == {"/newa/"}


FOR_A_NAME = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a-rule, namespace: web}}
spec:
  hosts: {}
  http:
  - match: [{{authority: {{prefix: pay}}}}]
    route: [{{destination: {{host: news.web.svc.cluster.local}}}}]
"""


@pytest.mark.parametrize(("hosts", "ports"), [("[pay]", {80}), ("[pay, news]", {80, 8080})])
def test_a_host_without_a_service_is_asked_by_its_full_name(
    tmp_path: Path, hosts: str, ports: set[int]
) -> None:
    # Found by seed 351477059, sets 239 and 1031.
    # istiod: pilot/pkg/networking/core/httproute.go, BuildSidecarOutboundVirtualHosts.
    path = tmp_path / "set.yaml"
    path.write_text(f"{FOR_A_NAME.format(hosts)}---\n{describe_world()}")
    calls = [case.call for case in loading.load([str(path)]).plan.cases]
    to_nowhere = [call for call in calls if call.host == "pay.web.svc.cluster.local"]
    assert {call.port for call in to_nowhere} == ports
    assert {call.host_header.partition(":")[0] for call in to_nowhere} == {
        "pay.web.svc.cluster.local"
    }


HIDDEN = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a-rule, namespace: default}
spec:
  hosts: [news.web.svc.cluster.local]
  http:
  - match: [{queryParams: {v: {exact: '1'}}}]
    route: [{destination: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: b-rule, namespace: istio-system}
spec:
  egress: [{hosts: [shop/cart.shop.svc.cluster.local]}]
"""


def test_a_request_of_no_route_ends_where_a_sidecar_hides_the_rule(tmp_path: Path) -> None:
    # Found by seed 77002, set 23: no virtual host, so 502, not the rule's 404.
    # istiod: pilot/pkg/networking/core/httproute.go, BuildSidecarOutboundVirtualHosts.
    path = tmp_path / "set.yaml"
    path.write_text(f"{HIDDEN}---\n{describe_world()}")
    cases = loading.load([str(path)]).plan.cases
    assert any(case.route_index is None for case in cases)
    assert all(case.dead_ends for case in cases)


BESIDE_A_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a-rule, namespace: web}
spec:
  hosts: [cart.shop.svc.cluster.local, news]
  http:
  - directResponse: {status: 418}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: b-rule, namespace: default}
spec:
  egress:
  - port: {number: 8080, protocol: HTTP, name: http}
    hosts: [web/*]
"""


def test_a_sidecar_keeps_no_host_from_a_rule_with_a_service_of_its_listener(
    tmp_path: Path,
) -> None:
    # Found by seed 2026120301, set 16: news, which the listener imports, brings the whole rule.
    # istiod: core/httproute.go, selectVirtualServices ("TODO: This is a bug"), buildVirtualHost.
    path = tmp_path / "set.yaml"
    path.write_text(f"{BESIDE_A_SERVICE}---\n{describe_world()}")
    hidden = {
        case.call.port: bool(case.dead_ends)
        for case in loading.load([str(path)]).plan.cases
        if case.call.host.startswith("cart") and case.call.namespace == "default"
    }
    assert hidden == {80: True, 8080: False}  # no listener takes calls of port 80


TO_OUTSIDE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a-rule, namespace: web}
spec:
  hosts: [news]
  http:
  - route: [{destination: {host: api.partner.test}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b-rule, namespace: web}
spec:
  hosts: [api.partner.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1}]
"""


def test_a_host_outside_lacks_a_port_that_its_entry_does_not_have(tmp_path: Path) -> None:
    # Found by seed 2026120312, set 56: the sidecar forwards to the called port, 8080.
    # istiod: pilot/pkg/networking/core/route/route.go, GetDestinationCluster.
    path = tmp_path / "set.yaml"
    path.write_text(f"{TO_OUTSIDE}---\n{describe_world()}")
    kinds = {
        case.call.port: [dead_end.kind for dead_end in case.dead_ends]
        for case in loading.load([str(path)]).plan.cases
    }
    assert kinds == {80: [], 8080: [DeadEndKind.PORT]}
