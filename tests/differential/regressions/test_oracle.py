"""Cases of the oracle that a real istiod answered otherwise."""

from __future__ import annotations

from meshproof.oracle.derive import derive
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
