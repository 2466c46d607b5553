"""Checks legacy DestinationPolicy objects (config.istio.io/v1alpha2, Istio 0.2 to 0.8).

They say how a service is called, not who answers: the routing model has nothing of them.
Source: routing/v1alpha1/destination_policy.proto of that time.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.documents.manifest import Document, Value
from meshproof.rules.common_fields import read_seconds
from meshproof.rules.legacy.route_rule import API_VERSION
from meshproof.rules.model import RuleSet

KIND = "DestinationPolicy"

BALANCERS = ("ROUND_ROBIN", "LEAST_CONN", "RANDOM")
_SERVICE_KEYS = ("domain", "labels", "name", "namespace", "service")
_COUNT_KEYS = (
    "httpConsecutiveErrors",
    "httpMaxPendingRequests",
    "httpMaxRequests",
    "httpMaxRequestsPerConnection",
    "httpMaxRetries",
    "maxConnections",
)
_TIME_KEYS = ("httpDetectionInterval", "sleepWindow")
_PERCENT_KEY = "httpMaxEjectionPercent"


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == KIND


def read_rules(documents: Iterable[Document]) -> RuleSet:
    """Check policies and return no rule: they do not change who answers.

    Raises BadRules with file and line for unknown keys and wrong values, and for two policies of
    one destination: which one applies is not specified.
    """
    first_by_key: dict[object, Document] = {}
    for document in documents:
        check_policy(document)
        key = _policy_key(document)
        first = first_by_key.setdefault(key, document)
        if first is not document:
            raise document.at.error(
                f"a second policy for what the one at {first.at} is for; which holds is not "
                "specified"
            )
    return RuleSet()


def check_policy(document: Document) -> None:
    """Check one policy. Raises BadRules with file and line for unknown keys and wrong values."""
    spec = document.spec
    spec.check_keys("circuitBreaker", "destination", "loadBalancing", "source")
    for service in (spec.need("destination"), spec.get("source")):
        if service is not None:
            service.check_keys(*_SERVICE_KEYS)
    balancing, breaker = spec.get("loadBalancing"), spec.get("circuitBreaker")
    if balancing is not None:
        balancing.check_keys("custom", "name")
        name = balancing.get("name")
        if name is not None:
            name.choice(*BALANCERS)
    if breaker is not None:
        breaker.check_keys("custom", "simpleCb")
        simple = breaker.get("simpleCb")
        if simple is not None:
            _check_breaker(simple)


def _check_breaker(simple: Value) -> None:
    """Check the keys and values of a circuit breaker (simpleCb)."""
    simple.check_keys(*_COUNT_KEYS, *_TIME_KEYS, _PERCENT_KEY)
    for key in (*_COUNT_KEYS, _PERCENT_KEY):
        count = simple.get(key)
        if count is not None:
            count.integer(0, 100 if key == _PERCENT_KEY else 2**31 - 1)
    for key in _TIME_KEYS:
        time = simple.get(key)
        if time is not None:
            read_seconds(time)


def _policy_key(document: Document) -> object:
    """Return a key that is equal for two policies of the same destination and source."""
    spec = document.spec
    return document.namespace, *(
        str(sorted(service.to_python().items(), key=str)) if service is not None else ""
        for service in (spec.get("destination"), spec.get("source"))
    )
