"""Every field of a RouteRule that today's rules can say: old in, new out."""

from __future__ import annotations

from typing import Any

import pytest

TO_ALL = [{"destination": {"host": "shop"}}]
TO_V2 = [{"destination": {"host": "shop", "subset": "v2"}}]
DEFAULT = {"route": TO_ALL}

#: Lines of the spec -> what the route says beside its name and the route to all versions.
FIELDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "labels become a subset": (["route: [{labels: {version: v2}}]"], {"route": TO_V2}),
    "a single weight of 100 stays": (
        ["route: [{labels: {version: v2}, weight: 100}]"],
        {"route": [{**TO_V2[0], "weight": 100}]},
    ),
    "a single weight counts as 100": (
        ["route: [{labels: {version: v2}, weight: 30}]"],
        {"route": TO_V2},
    ),
    "a split": (
        ["route: [{labels: {version: v2}, weight: 0}, {weight: 100}]"],
        {
            "route": [
                {"destination": {"host": "shop", "subset": "v2"}, "weight": 0},
                {"destination": {"host": "shop"}, "weight": 100},
            ]
        },
    ),
    "another destination": (
        ["route: [{destination: {name: other, namespace: far}, labels: {version: v2}}]"],
        {"route": [{"destination": {"host": "other.far.svc.cluster.local", "subset": "v2"}}]},
    ),
    "labels of a destination become a subset": (
        ["route: [{destination: {name: shop, labels: {version: v2}}}]"],
        {"route": TO_V2},
    ),
    "no route is one to every version": (["rewrite: {uri: /x}"], {"rewrite": {"uri": "/x"}}),
    "bare text is exact": (
        ["match: {request: {headers: {X-User: burr}}}"],
        {"match": [{"headers": {"x-user": {"exact": "burr"}}}]},
    ),
    "prefix and regex": (
        ["match: {request: {headers: {a: {prefix: b}, c: {regex: 'd.*'}}}}"],
        {"match": [{"headers": {"a": {"prefix": "b"}, "c": {"regex": "d.*"}}}]},
    ),
    "parts of the request are no headers": (
        [
            "match:",
            "  request:",
            "    headers:",
            "      uri: {prefix: /a}",
            "      scheme: https",
            "      method: {exact: GET}",
            "      authority: {regex: 'a.*'}",
        ],
        {
            "match": [
                {
                    "uri": {"prefix": "/a"},
                    "scheme": {"exact": "https"},
                    "method": {"exact": "GET"},
                    "authority": {"regex": "a.*"},
                }
            ]
        },
    ),
    "source labels": (
        ["match: {source: {labels: {app: page, version: v1}}}"],
        {"match": [{"sourceLabels": {"app": "page", "version": "v1"}}]},
    ),
    "source namespace": (
        ["match: {source: {namespace: far}}"],
        {"match": [{"sourceNamespace": "far"}]},
    ),
    "rewrite": (
        ["rewrite: {uri: /b, authority: c.example}"],
        {"rewrite": {"uri": "/b", "authority": "c.example"}},
    ),
    "timeout": (["httpReqTimeout: {simpleTimeout: {timeout: 7s}}"], {"timeout": "7s"}),
    "timeout without a time": (["httpReqTimeout: {simpleTimeout: {}}"], {"timeout": "15s"}),
    "retries were for every 5xx": (
        ["httpReqRetries: {simpleRetry: {attempts: 3, perTryTimeout: 2s}}"],
        {
            "retries": {
                "attempts": 3,
                "perTryTimeout": "2s",
                "retryOn": "5xx,connect-failure,refused-stream",
            }
        },
    ),
    "no retries": (["httpReqRetries: {simpleRetry: {attempts: 0}}"], {"retries": {"attempts": 0}}),
    "delay": (
        ["httpFault: {delay: {percent: 10, fixedDelay: 5s}}"],
        {"fault": {"delay": {"percentage": {"value": 10}, "fixedDelay": "5s"}}},
    ),
    "abort": (
        ["httpFault: {abort: {percent: 2.5, httpStatus: 503}}"],
        {"fault": {"abort": {"percentage": {"value": 2.5}, "httpStatus": 503}}},
    ),
    "a fault without percent was for none": (
        ["httpFault: {abort: {httpStatus: 503}}"],
        {"fault": {"abort": {"percentage": {"value": 0}, "httpStatus": 503}}},
    ),
    "abort of gRPC": (
        ["httpFault: {abort: {percent: 1, grpcStatus: UNAVAILABLE}}"],
        {"fault": {"abort": {"percentage": {"value": 1}, "grpcStatus": "UNAVAILABLE"}}},
    ),
    "mirror": (
        ["mirror: {name: shadow, labels: {version: v9}}"],
        {"mirror": {"host": "shadow", "subset": "v9"}},
    ),
    "cors": (
        [
            "corsPolicy:",
            "  allowOrigin: ['*', a.example]",
            "  allowMethods: [GET, POST]",
            "  allowHeaders: [x-a]",
            "  exposeHeaders: [x-b]",
            "  maxAge: 24h",
            "  allowCredentials: true",
        ],
        {
            "corsPolicy": {
                "allowOrigins": [{"exact": "*"}, {"exact": "a.example"}],
                "allowMethods": ["GET", "POST"],
                "allowHeaders": ["x-a"],
                "exposeHeaders": ["x-b"],
                "maxAge": "24h",
                "allowCredentials": True,
            }
        },
    ),
    "headers are added": (
        ["appendHeaders: {x-a: '1', x-b: two}"],
        {"headers": {"request": {"add": {"x-a": "1", "x-b": "two"}}}},
    ),
    "websockets pass by themselves": (["websocketUpgrade: true"], {}),
}


@pytest.mark.parametrize(("lines", "said"), FIELDS.values(), ids=FIELDS)
def test_a_field(converted: Any, rule: Any, lines: list[str], said: dict[str, Any]) -> None:
    found = converted(rule(*lines))
    expected = {"name": "r", "route": TO_ALL, **said}
    ending = [DEFAULT] if "match" in said else []
    assert found.routes("shop") == [expected, *ending]
    assert found.conversion.is_complete


def test_a_redirect_was_a_302(converted: Any, rule: Any) -> None:
    found = converted(rule("redirect: {uri: /new, authority: a.example}"))
    redirect = {"uri": "/new", "authority": "a.example", "redirectCode": 302}
    assert found.routes("shop") == [{"name": "r", "redirect": redirect}]


WHOLE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: shop
spec:
  host: shop
  subsets:
  - name: v2
    labels:
      version: v2
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
spec:
  hosts:
  - shop
  http:
  - name: r
    route:
    - destination:
        host: shop
        subset: v2
"""


def test_the_whole_of_a_converted_rule(converted: Any, rule: Any) -> None:
    assert converted(rule("route: [{labels: {version: v2}}]")).text == WHOLE


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ("{version: v2}", "v2"),
        ("{version: '1.2.3'}", "1-2-3-13760f38"),
        ("{track: canary}", "canary-35e3aa0f"),
        ("{version: v2, track: Canary}", "canary-v2-e5811ea9"),
        ("{version: '', track: ''}", "subset-f78592d5"),
    ],
)
def test_a_subset_is_named_by_version_else_by_a_digest(
    converted: Any, rule: Any, labels: str, name: str
) -> None:
    found = converted(rule(f"route: [{{labels: {labels}}}]"))
    (subset,) = found.objects["DestinationRule", "shop"]["spec"]["subsets"]
    assert subset["name"] == name
    assert found.routes("shop")[0]["route"][0]["destination"]["subset"] == name


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: page}
spec: {selector: {app: page}, ports: [{port: 80, name: http}]}
---
"""


def test_a_caller_by_name_has_the_labels_that_its_service_selects(
    converted: Any, rule: Any
) -> None:
    text = SERVICE + rule("match: {source: {name: page, labels: {version: v1}}}")
    found = converted(text)
    (match,) = found.routes("shop")[0]["match"]
    labels = {"app": "page", "version": "v1"}
    assert match == {"sourceLabels": labels, "sourceNamespace": "default"}
    assert list(found.objects) == [("VirtualService", "shop")], "the Service is left out"


def test_the_defaults_of_the_old_mesh_are_written_out_on_request(converted: Any, rule: Any) -> None:
    text = rule(
        "match: {request: {headers: {a: b}}}", "httpReqTimeout: {simpleTimeout: {timeout: 3s}}"
    )
    retries = {"attempts": 0}
    first, last = converted(text, old_defaults=True).routes("shop")
    assert (first["timeout"], first["retries"]) == ("3s", retries)
    assert last == {**DEFAULT, "timeout": "15s", "retries": retries}
    moved = converted(rule("redirect: {uri: /a}"), old_defaults=True).routes("shop")
    assert set(moved[0]) == {"name", "redirect"}
