"""Actions in Envoy's words, where istiod's choice is not the nearest one."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.mesh.envoy import listeners, translate
from meshproof.mesh.envoy.listeners import Telemetry
from tests.manifest_text import write_head
from tests.mesh.envoy.translating import cluster, pod, routes, snapshot, translate_port

HEAD = write_head("VirtualService", "reviews") + "spec:\n  hosts: [reviews]\n  http:\n"
TO = "route: [{destination: {host: reviews}}]"


def route(actions: str, port: int = 80, host: str = "reviews") -> dict[str, Any]:
    text = HEAD.replace("[reviews]", f"[{host}]")
    (only_route,) = routes(f"{text}  - {{{actions}}}\n", host=host, port=port)
    return only_route


REDIRECTS = {
    "uri: /b": {"path_redirect": "/b"},
    "scheme: https, port: 443": {"scheme_redirect": "https"},
    "scheme: https, port: 80": {"scheme_redirect": "https", "port_redirect": 80},
    "port: 80": {},
    "derivePort: FROM_REQUEST_PORT": {"port_redirect": 8080},
    "derivePort: FROM_PROTOCOL_DEFAULT": {},
}


@pytest.mark.parametrize(("text", "expected"), REDIRECTS.items(), ids=REDIRECTS)
def test_a_redirect_names_no_port_that_is_implied(text: str, expected: dict[str, Any]) -> None:
    config = route(f"redirect: {{{text}}}", 8080, "ratings")
    assert config["redirect"] == {"response_code": "MOVED_PERMANENTLY", **expected}
    assert "route" not in config


def test_direct_responses_may_be_long() -> None:
    response = route("directResponse: {status: 418, body: {string: tea}}")
    assert response["direct_response"] == {"status": 418, "body": {"inline_string": "tea"}}
    shop = snapshot()
    for config in (
        translate.translate_sidecar_routes(shop, pod(shop)),
        translate_port(shop, 80),
    ):
        assert config["max_direct_response_body_size_bytes"] == 1 << 20


def test_every_host_tells_which_attempt_it_is() -> None:
    shop = snapshot()
    hosts = translate.translate_sidecar_routes(shop, pod(shop))["virtual_hosts"]
    assert {host["include_request_attempt_count"] for host in hosts} == {True}


def test_headers_of_an_route_and_of_a_single_destination() -> None:
    text = (
        "headers: {request: {set: {a: b}, remove: [c]}}, route: "
        "[{destination: {host: reviews}, headers: {response: {add: {d: e}}}}]"
    )
    config = route(text)
    assert config["request_headers_to_add"] == [
        {"header": {"key": "a", "value": "b"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ]
    assert config["request_headers_to_remove"] == ["c"]
    (destination,) = config["route"]["weighted_clusters"]["clusters"]
    assert (destination["name"], destination["weight"]) == (cluster(""), 100)
    assert destination["response_headers_to_add"] == [
        {"header": {"key": "d", "value": "e"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    ]


def test_faults_have_parts_of_a_million() -> None:
    text = (
        "fault: {delay: {fixedDelay: 1.5s, percentage: {value: 0.01}}, "
        f"abort: {{httpStatus: 503, percentage: {{value: 100}}}}}}, {TO}"
    )
    (fault,) = route(text)["typed_per_filter_config"].values()
    assert fault["delay"] == {
        "fixed_delay": "1.5s",
        "percentage": {"numerator": 100, "denominator": "MILLION"},
    }
    assert fault["abort"]["percentage"]["numerator"] == 1_000_000


def test_a_fault_for_nobody_is_none() -> None:
    assert "typed_per_filter_config" not in route(f"fault: {{abort: {{httpStatus: 503}}}}, {TO}")


def test_cors() -> None:
    policy = (
        "corsPolicy: {allowOrigins: [{exact: a}, {prefix: b}, {regex: c}], "
        "allowMethods: [GET, POST], maxAge: 1m, allowCredentials: true, "
        "unmatchedPreflights: IGNORE}"
    )
    (config,) = route(f"{policy}, {TO}")["typed_per_filter_config"].values()
    assert config == {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [
            {"exact": "a"},
            {"prefix": "b"},
            {"safe_regex": {"regex": "c"}},
        ],
        "allow_methods": "GET,POST",
        "max_age": "60",
        "allow_credentials": True,
        "forward_not_matching_preflights": False,
    }


def test_every_way_out_has_the_filters_of_faults_and_cors_before_the_router() -> None:
    listener = listeners.make_outbound_listener("a", 1, "/a.json", Telemetry("/dev/null", False))
    (chain,) = listener["filter_chains"]
    filters = chain["filters"][0]["typed_config"]["http_filters"]
    assert [http_filter["name"] for http_filter in filters] == [
        "envoy.filters.http.fault",
        "envoy.filters.http.cors",
        "envoy.filters.http.router",
    ]


def test_retries() -> None:
    default_policy = route(TO)["route"]["retry_policy"]
    assert (default_policy["retry_on"], default_policy["num_retries"]) == (
        "connect-failure,refused-stream,unavailable,cancelled",
        2,
    )
    custom = route(f"retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '503,reset'}}, {TO}")
    policy = custom["route"]["retry_policy"]
    assert policy["retry_on"] == "reset,retriable-status-codes"
    assert policy["retriable_status_codes"] == [503]
    assert (policy["num_retries"], policy["per_try_timeout"]) == (3, "2s")
    assert "retry_policy" not in route(f"retries: {{attempts: 0}}, {TO}")["route"]


@pytest.mark.parametrize(
    ("text", "expected"), [("timeout: 10s, ", "10s"), ("timeout: 0.25s, ", "0.25s"), ("", "0s")]
)
def test_timeout(text: str, expected: str) -> None:
    assert route(text + TO)["route"]["timeout"] == expected


def test_mirrors() -> None:
    config = route(
        f"mirror: {{host: many, port: {{number: 81}}}}, mirrorPercentage: {{value: 5}}, {TO}"
    )
    (policy,) = config["route"]["request_mirror_policies"]
    assert policy["cluster"] == cluster("", "many", 81)
    assert policy["runtime_fraction"]["default_value"]["numerator"] == 50_000


def test_callers_on_other_ports_and_of_other_namespaces_do_not_get_the_route() -> None:
    def count(match: str, caller: str = "page-v1-0") -> int:
        text = f"{HEAD}  - {{match: [{{{match}}}], {TO}}}\n"
        envoy_routes = routes(text, "reviews.default", caller)
        # Without a route that can hold here it is as without the rule.
        return len([config for config in envoy_routes if config["name"] != "default"])

    assert [config["name"] for config in routes("", "reviews.default")] == ["default"]
    assert (count("port: 80"), count("port: 81")) == (1, 0)
    assert (count("sourceNamespace: default"), count("sourceNamespace: shop")) == (1, 0)
    assert count("sourceNamespace: shop", "orders-v1-0") == 1
