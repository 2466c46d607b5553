"""Whatever stands in a rule: it is converted, or refused with its place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshproof.base.errors import BadRules
from meshproof.convert import proof
from meshproof.documents.manifest import parse
from meshproof.lint import Level, lint

WHOLE = """
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: r, namespace: shop, labels: {a: b}, annotations: {c: d}}
spec:
  destination: {name: shop, namespace: shop}
  precedence: 3
  match:
    source: {name: page, labels: {version: v1}}
    request: {headers: {uri: {prefix: /a}, cookie: {regex: '.*u=b.*'}, x: text}}
  route:
  - {labels: {version: v1}, weight: 40}
  - {destination: {service: other.shop.svc.cluster.local}, labels: {track: t}, weight: 60}
  rewrite: {uri: /b, authority: c}
  httpReqTimeout: {simpleTimeout: {timeout: 5s}}
  httpReqRetries: {simpleRetry: {attempts: 2, perTryTimeout: 1s}}
  httpFault: {delay: {percent: 1, fixedDelay: 2s}, abort: {percent: 2, httpStatus: 500}}
  mirror: {name: shadow}
  corsPolicy: {allowOrigin: ['*'], allowMethods: [GET], maxAge: 24h}
  appendHeaders: {x-a: b}
---
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: p, namespace: shop}
spec:
  destination: {name: shop}
  loadBalancing: {name: RANDOM}
  circuitBreaker: {simpleCb: {maxConnections: 1, sleepWindow: 5s}}
---
apiVersion: config.istio.io/v1alpha2
kind: EgressRule
metadata: {name: e}
spec: {destination: {service: a.example}, ports: [{port: 443, protocol: https}]}
---
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: i, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  tls: [{secretName: s}]
  rules:
  - host: h.example
    http: {paths: [{path: /x, backend: {serviceName: shop, servicePort: 80}}]}
---
apiVersion: v1
kind: Service
metadata: {name: page, namespace: shop}
spec: {selector: {app: page}, ports: [{port: 80, name: http}]}
"""
OBJECTS: list[Any] = list(yaml.safe_load_all(WHOLE))
ODD: list[Any] = [None, "", "text", "0", 0, -1, 1.5, True, [], {}, [None], {"": None}, "5s", ["a"]]


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner if isinstance(value, (dict, list)) else ():
        if isinstance(one, (dict, list)):
            yield from places(one, (*way, key))
        else:
            yield (*way, key)


PLACES = list(places(OBJECTS))


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=2))
def test_what_is_odd_is_converted_or_refused(
    converted: Any, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    objects = copy.deepcopy(OBJECTS)
    for way, odd in changes:
        parent = objects
        try:
            for key in way[:-1]:
                parent = parent[key]
            parent[way[-1]] = odd
        except (TypeError, KeyError, IndexError):
            return  # the other change took this place away
    refused, found = None, None
    try:
        found = converted(yaml.safe_dump_all(objects, sort_keys=False))
    except BadRules as error:
        refused = str(error)
    if found is None:
        assert refused is not None
        assert "old.yaml" in refused
        return
    compared = proof.compare(found.source, found.text, "new.yaml", found.conversion.notes)
    assert not compared.different
    wrong = [one for one in lint(parse(found.text, "new.yaml")) if one.level is Level.ERROR]
    assert not wrong


def test_the_file_that_is_changed_is_converted_as_it_is(converted: Any) -> None:
    found = converted(WHOLE)
    kinds = {kind for kind, _ in found.objects}
    assert kinds == {"VirtualService", "DestinationRule", "ServiceEntry", "Gateway"}
    assert found.conversion.is_complete
    assert len(PLACES) > 100


def test_what_lint_calls_an_error_is_seen(converted: Any, rule: Any) -> None:
    """The check above would see an output that lint refuses."""
    text = converted(rule("route: [{labels: {version: v1}}]")).text
    wrong = lint(parse(text.replace("subset: v1", "subset: v2"), "new.yaml"))
    assert [one.code for one in wrong if one.level is Level.ERROR] == ["MP0501"]


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_endings_do_not_matter(converted: Any, rule: Any, ending: str) -> None:
    text = ("# a\n" + rule("precedence: 1 # b")).replace("\n", ending)
    assert "# a\n" in converted(text).text
    assert "\r" not in converted(text).text
