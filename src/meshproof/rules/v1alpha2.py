"""Reads legacy RouteRule objects (config.istio.io/v1alpha2, Istio 0.1 to 0.7) into the model.

Source: the routing/v1alpha1/route_rule.proto of that time and Istio's 0.3 reference pages. Rules of
one destination make one route, the highest precedence first; a rule without `match` takes all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.errors import BadRules, nearest
from meshproof.manifest import Document, Value
from meshproof.rules.model import (
    CLUSTER_DOMAIN,
    Arm,
    Match,
    Route,
    RuleSet,
    StringMatch,
    Target,
    full_name,
    labels,
)

API_VERSION = "config.istio.io/v1alpha2"
DIALECT = "RouteRule"

_UNSUPPORTED = (
    "appendHeaders",
    "corsPolicy",
    "httpFault",
    "httpReqRetries",
    "httpReqTimeout",
    "l4Fault",
    "mirror",
    "redirect",
    "rewrite",
    "websocketUpgrade",
)
#: Keys of request.headers that are not headers but parts of the request.
_PARTS = ("uri", "scheme", "method", "authority")


@dataclass(frozen=True)
class _Rule:
    host: str
    precedence: int
    arm: Arm
    document: Document


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == "RouteRule"


def read(documents: Iterable[Document]) -> RuleSet:
    """Return the rules in `documents`, one route per destination, in order of precedence.

    Raises BadRules for two rules of one name (the second would replace the first) and for two rules
    of one destination and precedence (their order is unspecified).
    """
    hosts: dict[str, list[_Rule]] = {}
    named: dict[tuple[str, str], Document] = {}
    for document in documents:
        twin = named.setdefault((document.namespace, document.name), document)
        if twin is not document:
            raise BadRules(
                f"{document.at}: two rules are named '{document.name}'; this one would replace "
                f"the one at {twin.at}"
            )
        rule = _rule(document)
        hosts.setdefault(rule.host, []).append(rule)
    routes = tuple(_route(host, rules) for host, rules in hosts.items())
    return RuleSet(routes=routes, dialect=DIALECT if routes else "")


def _route(host: str, rules: list[_Rule]) -> Route:
    ordered = sorted(rules, key=lambda rule: -rule.precedence)
    for first, second in zip(ordered, ordered[1:], strict=False):
        if first.precedence == second.precedence:
            raise BadRules(
                f"{second.document.at}: '{second.document.name}' has the same precedence "
                f"({second.precedence}) as '{first.document.name}' at {first.document.at}; "
                "their order is unspecified"
            )
    return Route(
        hosts=(host,),
        arms=tuple(rule.arm for rule in ordered),
        gateways=None,
        at=ordered[0].document.at,
        name=ordered[0].document.name,
        namespace=ordered[0].document.namespace,
    )


def _rule(document: Document) -> _Rule:
    spec = document.spec
    spec.allow("destination", "match", "precedence", "route", unsupported=_UNSUPPORTED)
    precedence, match = spec.get("precedence"), spec.get("match")
    host = _host(spec.need("destination"), document.namespace)
    arm = Arm(
        matches=(_match(match),) if match else (),
        split=_split(spec.need("route"), host, document.namespace),
        at=document.at,
        name=document.name,
    )
    order = precedence.integer(-(2**31), 2**31 - 1) if precedence else 0
    return _Rule(host, order, arm, document)


def _host(destination: Value, namespace: str) -> str:
    destination.allow("domain", "name", "namespace", "service", unsupported=("labels",))
    service = destination.get("service")
    if service is not None:
        return full_name(service.text(), namespace)
    owner, domain = destination.get("namespace"), destination.get("domain")
    return ".".join(
        (
            destination.need("name").text(),
            owner.text() if owner else namespace,
            domain.text() if domain else CLUSTER_DOMAIN,
        )
    )


def _match(match: Value) -> Match:
    if not match.mapping():
        raise match.error("conditions (a match may be absent, but not empty)")
    if "httpHeaders" in match.mapping():
        raise BadRules(
            f"{match.keys['httpHeaders']}: match.httpHeaders is the v1alpha1 spelling; "
            "v1alpha2 has match.request.headers"
        )
    match.allow("request", "source", unsupported=("tcp", "udp"))
    request, source = match.get("request"), match.get("source")
    strings: dict[str, StringMatch] = {}
    if request is not None:
        request.allow("headers")
        for name, value in request.need("headers").mapping().items():
            strings[name.lower()] = _string(value)
    if "scheme" in strings:
        raise BadRules(f"{match.at}: match.request.headers.scheme is not supported yet")
    if source is not None:
        source.allow("labels", unsupported=("name", "namespace", "service", "domain"))
    return Match(
        at=match.at,
        uri=strings.get("uri"),
        method=strings.get("method"),
        authority=strings.get("authority"),
        headers=tuple((key, value) for key, value in strings.items() if key not in _PARTS),
        source=labels(source.need("labels").texts()) if source else (),
    )


def _string(value: Value) -> StringMatch:
    if isinstance(value.content, str):
        return StringMatch("exact", value.content, value.at)
    content = value.mapping()
    value.allow("exact", "prefix", "regex")
    for kind in ("exact", "prefix", "regex"):
        if kind in content and len(content) == 1:
            return StringMatch(kind, content[kind].text(), content[kind].at)
    raise value.error("one of exact, prefix, regex")


def _split(route: Value, host: str, namespace: str) -> tuple[Target, ...]:
    entries = route.items()
    targets = tuple(_target(entry, host, namespace, alone=len(entries) == 1) for entry in entries)
    total = sum(target.weight for target in targets)
    if total != 100:
        raise BadRules(f"{route.at}: {route.path}: weights must sum to 100, found {total}")
    return targets


def _target(entry: Value, host: str, namespace: str, alone: bool) -> Target:
    if "tags" in entry.mapping():
        raise BadRules(
            f"{entry.keys['tags']}: {entry.path}.tags is the v1alpha1 spelling; v1alpha2 has labels"
            f"{nearest('tags', ['labels'])}"
        )
    entry.allow("destination", "labels", "weight")
    weight, found, other = entry.get("weight"), entry.get("labels"), entry.get("destination")
    if weight is None and not alone:
        raise BadRules(f"{entry.at}: {entry.path}: a split of several needs a weight on each")
    return Target(
        host=_host(other, namespace) if other else host,
        labels=labels(found.texts()) if found else (),
        weight=100 if alone or weight is None else weight.integer(0, 100),
        at=entry.at,
    )
