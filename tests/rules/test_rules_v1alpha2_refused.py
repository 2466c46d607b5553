"""Whatever a RouteRule says that we do not serve is refused by name, old spellings with the new."""

from __future__ import annotations

import pytest

from tests.rules.refusing import refused

HEAD = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews}
spec:
  destination: {name: reviews}
"""
ROUTE = "  route: [{labels: {version: v1}}]\n"


REFUSED = {
    "faults of TCP": (
        f"{HEAD}  l4Fault: {{terminate: {{}}}}\n{ROUTE}",
        "6:3: spec.l4Fault is not supported: it is about connections of TCP, of which no HTTP "
        "request tells",
    ),
    "route beside a redirect": (
        f"{HEAD}  redirect: {{uri: /b}}\n{ROUTE}",
        "7:3: spec: 'route' has no place beside 'redirect'",
    ),
    "empty redirect": (
        f"{HEAD}  redirect: {{}}\n",
        "6:13: spec.redirect: expected at least one of authority, uri, found a mapping",
    ),
    "custom timeout": (
        f"{HEAD}  httpReqTimeout: {{custom: {{}}}}\n{ROUTE}",
        "6:20: spec.httpReqTimeout.custom is not supported: it was never more than a name for "
        "config of Envoy's own",
    ),
    "override of a retry": (
        f"{HEAD}  httpReqRetries: {{simpleRetry: {{overrideHeaderName: a}}}}\n{ROUTE}",
        "6:34: spec.httpReqRetries.simpleRetry.overrideHeaderName is not supported: Envoy lets no "
        "header of a request decide it",
    ),
    "percentage of later times": (
        f"{HEAD}  httpFault: {{abort: {{httpStatus: 400, percentage: 5}}}}\n{ROUTE}",
        "6:40: spec.httpFault.abort.percentage: unknown key 'percentage'; did you mean 'percent'?",
    ),
    "labels of the destination": (
        HEAD.replace("destination: {name: reviews}", "destination: {name: a, labels: {}}"),
        "5:26: spec.destination.labels is not supported yet",
    ),
    "TCP": (
        f"{HEAD}  match: {{tcp: {{}}}}\n",
        "6:11: spec.match.tcp is not supported: only HTTP requests are sent and served",
    ),
    "UDP": (
        f"{HEAD}  match: {{udp: {{}}}}\n",
        "6:11: spec.match.udp is not supported: only HTTP requests are sent and served",
    ),
    "a source without its Service": (
        f"{HEAD}  match: {{source: {{name: page}}}}\n",
        "6:26: spec.match.source.name: the labels of callers tell them apart: give the Service "
        "page.default.svc.cluster.local too, whose selector says which",
    ),
    "a source that says nothing": (
        f"{HEAD}  match: {{source: {{}}}}\n",
        "6:19: spec.match.source: expected at least one of labels, name, namespace, service, "
        "found a mapping",
    ),
    "precedence": (
        f"{HEAD}  percendence: 2\n",
        "6:3: spec.percendence: unknown key 'percendence'; did you mean 'precedence'?",
    ),
    "key of a route": (
        f"{HEAD}  route: [{{label: {{version: v1}}}}]\n",
        "6:12: spec.route[0].label: unknown key 'label'; did you mean 'labels'?",
    ),
    "key of a destination": (
        HEAD.replace("destination: {name", "destination: {nmae"),
        "5:17: spec.destination.nmae: unknown key 'nmae'; did you mean 'name'?",
    ),
    "subset of later times": (
        f"{HEAD}  route: [{{destination: {{name: a, subset: v1}}}}]\n",
        "6:35: spec.route[0].destination.subset: unknown key 'subset'",
    ),
    "httpHeaders": (
        f"{HEAD}  match: {{httpHeaders: {{}}}}\n",
        "6:11: spec.match.httpHeaders: 'httpHeaders' is the spelling of an earlier version; "
        "today it is 'request.headers'",
    ),
    "tags": (
        f"{HEAD}  route: [{{tags: {{version: v1}}}}]\n",
        "6:12: spec.route[0].tags: 'tags' is the spelling of an earlier version; "
        "today it is 'labels'",
    ),
    "empty match": (
        f"{HEAD}  match: {{}}\n{ROUTE}",
        "6:10: spec.match: expected conditions (a match may be absent, but not empty), "
        "found a mapping",
    ),
    "empty condition": (
        f"{HEAD}  match: {{request: {{headers: {{cookie: {{}}}}}}}}\n{ROUTE}",
        "6:39: spec.match.request.headers.cookie: expected one of exact, prefix, regex, "
        "found a mapping",
    ),
    "header twice": (
        f"{HEAD}  match: {{request: {{headers: {{a: b, A: c}}}}}}\n{ROUTE}",
        "6:37: spec.match.request.headers.A: a second condition on this header",
    ),
    "empty route": (f"{HEAD}  route: []", "6:10: spec.route: weights must sum to 100, found 0"),
    "no destination": (
        HEAD.replace("  destination: {name: reviews}", "  precedence: 1"),
        "5:3: spec: 'destination' is missing",
    ),
    "destination as text": (
        HEAD.replace("destination: {name: reviews}", "destination: reviews.default"),
        "5:16: spec.destination: expected a mapping, found 'reviews.default'",
    ),
    "precedence as text": (
        f"{HEAD}  precedence: high\n{ROUTE}",
        "6:15: spec.precedence: expected a whole number from -2147483648 to 2147483647, "
        "found 'high'",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text) == f"r.yaml:{message}"
