"""Checks legacy DestinationPolicy objects (config.istio.io/v1alpha2, Istio 0.2 to 0.8).

They say how a service is called, not who answers: nothing of them is in the routing model.
Source: routing/v1alpha1/destination_policy.proto of that time.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.documents.manifest import Document, Value
from meshproof.rules.legacy.route_rule import API_VERSION
from meshproof.rules.model import RuleSet
from meshproof.rules.quantities import seconds

KIND = "DestinationPolicy"

BALANCERS = ("ROUND_ROBIN", "LEAST_CONN", "RANDOM")
_SERVICE = ("domain", "labels", "name", "namespace", "service")
_COUNTS = (
    "httpConsecutiveErrors",
    "httpMaxPendingRequests",
    "httpMaxRequests",
    "httpMaxRequestsPerConnection",
    "httpMaxRetries",
    "maxConnections",
)
_TIMES = ("httpDetectionInterval", "sleepWindow")
_PERCENT = "httpMaxEjectionPercent"


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == KIND


def read(documents: Iterable[Document]) -> RuleSet:
    """Check policies and return no rule: they do not change who answers.

    Raises BadRules with its place for unknown keys and wrong values, and for two policies of one
    destination: which of them holds is not specified.
    """
    seen: dict[object, Document] = {}
    for document in documents:
        check(document)
        key = _key(document)
        first = seen.setdefault(key, document)
        if first is not document:
            raise document.at.error(
                f"a second policy for what the one at {first.at} is for; which holds is not "
                "specified"
            )
    return RuleSet()


def check(document: Document) -> None:
    """Check one policy. Raises BadRules with its place for unknown keys and wrong values."""
    spec = document.spec
    spec.allow("circuitBreaker", "destination", "loadBalancing", "source")
    for service in (spec.need("destination"), spec.get("source")):
        if service is not None:
            service.allow(*_SERVICE)
    balancing, breaker = spec.get("loadBalancing"), spec.get("circuitBreaker")
    if balancing is not None:
        balancing.allow("custom", "name")
        name = balancing.get("name")
        if name is not None:
            name.choice(*BALANCERS)
    if breaker is not None:
        breaker.allow("custom", "simpleCb")
        simple = breaker.get("simpleCb")
        if simple is not None:
            _check_breaker(simple)


def _check_breaker(simple: Value) -> None:
    simple.allow(*_COUNTS, *_TIMES, _PERCENT)
    for key in (*_COUNTS, _PERCENT):
        count = simple.get(key)
        if count is not None:
            count.integer(0, 100 if key == _PERCENT else 2**31 - 1)
    for key in _TIMES:
        time = simple.get(key)
        if time is not None:
            seconds(time)


def _key(document: Document) -> object:
    """Return what a policy is for: equal for two that are for the same."""
    spec = document.spec
    return document.namespace, *(
        str(sorted(found.plain().items(), key=str)) if found is not None else ""
        for found in (spec.get("destination"), spec.get("source"))
    )
