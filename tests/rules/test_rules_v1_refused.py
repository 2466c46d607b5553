"""Whatever a VirtualService or DestinationRule says that we do not serve is refused by name."""

from __future__ import annotations

import pytest

from tests.rules.refusing import refused

HEAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
"""
SUBSETS = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
"""
ROUTE = "  hosts: [reviews]\n  http: [{route: [{destination: {host: reviews}}]}]\n"


def in_match(text: str) -> str:
    return HEAD + (
        "  hosts: [reviews]\n"
        "  http:\n"
        "  - match:\n"
        f"    - {text}\n"
        "    route: [{destination: {host: reviews}}]\n"
    )


def in_route(text: str) -> str:
    return HEAD + f"  hosts: [reviews]\n  http:\n  - route:\n    - {text}\n"


@pytest.mark.parametrize("key", ["tcp", "tls"])
def test_keys_of_a_virtual_service_that_are_not_served(key: str) -> None:
    assert refused(f"{HEAD}  {key}: []\n{ROUTE}") == f"r.yaml:5:3: spec.{key} is not supported yet"


def test_keys_of_a_destination_rule_that_are_not_served() -> None:
    text = f"{HEAD}{ROUTE}{SUBSETS}  workloadSelector: 1\n  host: reviews\n"
    assert refused(text) == "r.yaml:12:3: spec.workloadSelector is not supported yet"


def test_a_rule_that_is_exported_to_nobody() -> None:
    assert refused(f"{HEAD}  exportTo: ['~']\n{ROUTE}") == (
        "r.yaml:5:13: spec.exportTo: '~' exports the rule to no namespace, so that it has no effect"
    )


UNKNOWN = {
    "spec": (
        f"{HEAD}  host: [reviews]\n",
        "5:3: spec.host: unknown key 'host'; did you mean 'hosts'?",
    ),
    "http": (
        f"{HEAD}  hosts: [reviews]\n  http:\n  - matches: []\n",
        "7:5: spec.http[0].matches: unknown key 'matches'; did you mean 'match'?",
    ),
    "match": (
        in_match("header: {}"),
        "8:7: spec.http[0].match[0].header: unknown key 'header'; did you mean 'headers'?",
    ),
    "string": (
        in_match("uri: {exakt: /}"),
        "8:13: spec.http[0].match[0].uri.exakt: unknown key 'exakt'; did you mean 'exact'?",
    ),
    "route": (
        in_route("destinations: {}"),
        "8:7: spec.http[0].route[0].destinations: unknown key 'destinations'; "
        "did you mean 'destination'?",
    ),
    "destination": (
        in_route("destination: {hosts: a}"),
        "8:21: spec.http[0].route[0].destination.hosts: unknown key 'hosts'; did you mean 'host'?",
    ),
    "port": (
        in_route("destination: {host: a, port: {name: http}}"),
        "8:37: spec.http[0].route[0].destination.port.name: unknown key 'name'; "
        "did you mean 'number'?",
    ),
    "key of an unsupported field": (
        f"{HEAD}  hosts: [reviews]\n  http:\n  - rewrit: 1\n",
        "7:5: spec.http[0].rewrit: unknown key 'rewrit'; did you mean 'rewrite'?",
    ),
    "subsets": (
        f"{HEAD}{ROUTE}{SUBSETS}  host: a\n  subset: []",
        "13:3: spec.subset: unknown key 'subset'; did you mean 'subsets'?",
    ),
    "subset": (
        f"{HEAD}{ROUTE}{SUBSETS}  host: a\n  subsets: [{{name: a, label: {{}}}}]",
        "13:23: spec.subsets[0].label: unknown key 'label'; did you mean 'labels'?",
    ),
}


@pytest.mark.parametrize(("text", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_key_is_answered_with_the_nearest(text: str, message: str) -> None:
    assert refused(text) == f"r.yaml:{message}"


WRONG = {
    "no hosts": (
        f"{HEAD}  hosts: []\n  http: [{{}}]",
        "5:10: spec.hosts: expected at least one host, found a list",
    ),
    "no routes": (
        f"{HEAD}  hosts: [a]\n  http: []",
        "6:9: spec.http: expected at least one route, found a list",
    ),
    "no http": (f"{HEAD}  hosts: [a]\n", "5:3: spec: 'http' is missing"),
    "no route": (
        f"{HEAD}  hosts: [a]\n  http: [{{name: a}}]",
        "6:10: spec.http[0]: 'route' is missing",
    ),
    "no destination": (
        in_route("weight: 3"),
        "8:7: spec.http[0].route[0]: 'destination' is missing",
    ),
    "no host": (
        in_route("destination: {port: {number: 1}}"),
        "8:20: spec.http[0].route[0].destination: 'host' is missing",
    ),
    "two kinds": (
        in_match("uri: {exact: /, prefix: /}"),
        "8:12: spec.http[0].match[0].uri: expected one of exact, prefix, regex, found a mapping",
    ),
    "bare string": (
        in_match("uri: /"),
        "8:12: spec.http[0].match[0].uri: expected a mapping, found '/'",
    ),
    "empty string": (
        in_match("uri: {exact: ''}"),
        "8:20: spec.http[0].match[0].uri.exact: expected text that is not empty, found ''",
    ),
    "number": (
        in_match("headers: {a: {exact: 1}}"),
        "8:28: spec.http[0].match[0].headers.a.exact: expected text, found 1",
    ),
    "case": (
        in_match("ignoreUriCase: 'no'"),
        "8:22: spec.http[0].match[0].ignoreUriCase: expected true or false, found 'no'",
    ),
    "part of the request among headers": (
        in_match("headers: {method: {exact: GET}}"),
        "8:17: spec.http[0].match[0].headers.method: Istio ignores 'method' among headers",
    ),
    "header twice": (
        in_match("headers: {A: {exact: b}, a: {exact: c}}"),
        "8:32: spec.http[0].match[0].headers.a: a second condition on this header",
    ),
    "port 0": (
        in_route("destination: {host: a, port: {number: 0}}"),
        "8:45: spec.http[0].route[0].destination.port.number: expected a whole number from 1 to "
        "65535, found 0",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_wrong_values_are_told_with_their_place(text: str, message: str) -> None:
    assert refused(text) == f"r.yaml:{message}"
