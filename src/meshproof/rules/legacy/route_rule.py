"""Reads legacy RouteRule objects (config.istio.io/v1alpha2, Istio 0.1 to 0.7) into the model.

Source: the routing/v1alpha1/route_rule.proto of that time and Istio's 0.3 reference pages. Rules of
one destination make one route, the highest precedence first; a rule without `match` takes all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from meshproof.base.errors import nearest
from meshproof.base.names import CLUSTER_DOMAIN, Labels, full_name, labels
from meshproof.documents.manifest import Document, Value
from meshproof.rules import judge_options
from meshproof.rules.conditions import string_match
from meshproof.rules.legacy import actions
from meshproof.rules.model import Match, Route, RouteTable, RuleSet, StringMatch, Target

API_VERSION = "config.istio.io/v1alpha2"
KIND = DIALECT = "RouteRule"

#: Key -> why requests cannot prove it.
_UNSUPPORTED = {"l4Fault": "it is about connections of TCP, of which no HTTP request tells"}
_NO_HTTP = dict.fromkeys(("tcp", "udp"), "only HTTP requests are sent and served")
#: Keys of request.headers that are not headers but parts of the request.
_PARTS = ("uri", "scheme", "method", "authority")


@dataclass(frozen=True)
class _Rule:
    host: str
    precedence: int
    route: Route
    document: Document


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == KIND


def read(documents: Iterable[Document], selectors: Mapping[str, Labels]) -> RuleSet:
    """Return the rules in `documents`, one route per destination, in order of precedence.

    `selectors` are the labels that Services select, by full host: callers are told by labels.
    Raises BadRules for two rules of one destination and precedence: their order is unspecified.
    """
    hosts: dict[str, list[_Rule]] = {}
    for document in documents:
        rule = _rule(document, selectors)
        hosts.setdefault(rule.host, []).append(rule)
    tables = tuple(_route_table(host, rules) for host, rules in hosts.items())
    return RuleSet(tables=tables, dialect=DIALECT if tables else "")


def _route_table(host: str, rules: list[_Rule]) -> RouteTable:
    ordered = sorted(rules, key=lambda rule: -rule.precedence)
    for first, second in pairwise(ordered):
        if first.precedence == second.precedence:
            raise second.document.at.error(
                f"'{second.document.name}' has the same precedence ({second.precedence}) as "
                f"'{first.document.name}' at {first.document.at}; their order is unspecified"
            )
    return RouteTable(
        hosts=(host,),
        routes=tuple(rule.route for rule in ordered),
        gateways=None,
        at=ordered[0].document.at,
        name=ordered[0].document.name,
        namespace=ordered[0].document.namespace,
    )


def _rule(document: Document, selectors: Mapping[str, Labels]) -> _Rule:
    spec = document.spec
    own = ("destination", "match", "precedence", "route")
    spec.allow(*own, *actions.KEYS, unsupported=_UNSUPPORTED)
    precedence, match = spec.get("precedence"), spec.get("match")
    namespace = document.namespace
    host = _host(spec.need("destination"), namespace)
    sends_on = actions.sends_on(spec)
    route = Route(
        matches=(_match(match, _Callers(namespace, selectors)),) if match else (),
        split=_split(spec.need("route"), host, namespace) if sends_on else (),
        at=document.at,
        name=document.name,
        options=judge_options.read(document),
    )
    route = actions.acting(route, spec, lambda found: _copied(found, namespace))
    order = precedence.integer(-(2**31), 2**31 - 1) if precedence else 0
    return _Rule(host, order, route, document)


def _copied(destination: Value, namespace: str) -> Target:
    """Return the destination of a mirror, which may have labels."""
    destination.allow("domain", "labels", "name", "namespace", "service")
    found = destination.get("labels")
    carried = labels(found.texts()) if found else ()
    return Target(_named(destination, namespace), carried, 100, at=destination.at)


def _host(destination: Value, namespace: str) -> str:
    destination.allow("domain", "name", "namespace", "service", unsupported=("labels",))
    return _named(destination, namespace)


def _named(destination: Value, namespace: str) -> str:
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


@dataclass(frozen=True)
class _Callers:
    """Tells calling workloads as they are seen from a namespace; `selectors` are by full host."""

    namespace: str
    selectors: Mapping[str, Labels]

    def read(self, source: Value) -> tuple[Labels, str]:
        """Return the labels and the namespace of callers, empty for any.

        Raises BadRules for a service of which no labels are known, or that excludes them.
        """
        source.allow("domain", "labels", "name", "namespace", "service")
        found, owner = source.get("labels"), source.get("namespace")
        carried = labels(found.texts()) if found else ()
        named = source.get("service") or source.get("name")
        if named is None:
            if not carried and owner is None:
                raise source.error("at least one of labels, name, namespace, service")
            return carried, owner.text() if owner else ""
        host = _named(source, self.namespace)
        selector = self.selectors.get(host)
        if not selector:
            hint = nearest(host, self.selectors)
            raise named.at.error(
                f"{named.path}: the labels of callers tell them apart: give the Service {host} "
                f"too, whose selector says which{hint}"
            )
        own = dict(carried)
        for key, value in selector:
            if own.get(key, value) != value:
                raise named.at.error(
                    f"{named.path}: the Service {host} selects {key}={value}, the labels beside "
                    f"say {key}={own[key]}: nobody is both"
                )
        return labels({**dict(selector), **own}), host.split(".")[1]


def _match(match: Value, callers: _Callers) -> Match:
    if not match.mapping():
        raise match.error("conditions (a match may be absent, but not empty)")
    _refuse_old(match, "httpHeaders", "match.request.headers")
    match.allow("request", "source", unsupported=_NO_HTTP)
    request, source = match.get("request"), match.get("source")
    carried, owner = callers.read(source) if source else ((), "")
    strings = _strings(request) if request else {}
    return Match(
        at=match.at,
        uri=strings.get("uri"),
        method=strings.get("method"),
        authority=strings.get("authority"),
        headers=tuple((key, value) for key, value in strings.items() if key not in _PARTS),
        source=carried,
        source_namespace=owner,
        scheme=strings.get("scheme"),
    )


def _refuse_old(value: Value, key: str, new: str) -> None:
    if key in value.mapping():
        raise value.keys[key].error(
            f"{value.path}.{key} is the v1alpha1 spelling; v1alpha2 has {new}"
        )


def _strings(request: Value) -> dict[str, StringMatch]:
    """Return the conditions by header name (lower case) or part of the request."""
    request.allow("headers")
    headers = request.need("headers")
    found: dict[str, StringMatch] = {}
    for name, value in headers.mapping().items():
        key = name.lower()
        if key in found:
            raise headers.keys[name].error(f"{value.path}: a second condition on this header")
        bare = isinstance(value.content, str)
        found[key] = StringMatch("exact", value.text(), value.at) if bare else string_match(value)
    return found


def _split(split: Value, host: str, namespace: str) -> tuple[Target, ...]:
    entries = split.items()
    targets = tuple(_target(entry, host, namespace, alone=len(entries) == 1) for entry in entries)
    total = sum(target.weight for target in targets)
    if total != 100:
        raise split.at.error(f"{split.path}: weights must sum to 100, found {total}")
    for entry, target in zip(entries, targets, strict=True):
        if [(one.host, one.labels) for one in targets].count((target.host, target.labels)) > 1:
            raise entry.at.error(f"{entry.path}: nothing tells it from another entry: add labels")
    return targets


def _target(entry: Value, host: str, namespace: str, alone: bool) -> Target:
    _refuse_old(entry, "tags", "labels")
    entry.allow("destination", "labels", "weight")
    weight, found, other = entry.get("weight"), entry.get("labels"), entry.get("destination")
    if weight is None and not alone:
        raise entry.at.error(f"{entry.path}: a split of several needs a weight on each")
    share = weight.integer(0, 100) if weight else 100
    return Target(
        host=_host(other, namespace) if other else host,
        labels=labels(found.texts()) if found else (),
        weight=100 if alone else share,  # a single entry counts as 100, whatever it says
        at=entry.at,
    )
