"""Reads legacy RouteRule objects (config.istio.io/v1alpha2, Istio 0.1 to 0.7) into the model.

Source: the routing/v1alpha1/route_rule.proto of that time and Istio's 0.3 reference pages. The
rules of one destination form one route table, the highest precedence first. A rule without `match`
takes all requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from meshproof.base.errors import suggest_nearest
from meshproof.base.names import Labels, sort_labels
from meshproof.documents.manifest import Document, Value
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.rules import judge_options
from meshproof.rules.common_fields import read_unchecked_string_match
from meshproof.rules.legacy import actions
from meshproof.rules.legacy.written import (
    find_service_host,
    read_actions,
    read_match,
    refer_to_destination,
)
from meshproof.rules.model import Match, Route, RouteTable, RuleSet, StringMatch, Target
from meshproof.rules.written import (
    PSEUDO_HEADERS,
    WrittenActions,
    WrittenCondition,
    WrittenEntry,
    WrittenMatch,
)

API_VERSION = "config.istio.io/v1alpha2"
KIND = DIALECT = "RouteRule"


@dataclass(frozen=True)
class _RankedRule:
    host: str
    precedence: int
    route: Route
    checked: CheckedDocument

    @property
    def document(self) -> Document:
        """The document of the rule."""
        return self.checked.document


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == KIND


def read_rules(documents: Iterable[CheckedDocument], selectors: Mapping[str, Labels]) -> RuleSet:
    """Return the rules in `documents`: a route table per destination, in order of precedence.

    `selectors` are the labels that Services select, by full host: they identify callers. Two rules
    of one destination and precedence are a problem: their order is unspecified.
    """
    hosts: dict[str, list[_RankedRule]] = {}
    for rule in read_each(documents, lambda checked: _read_rule(checked, selectors)):
        hosts.setdefault(rule.host, []).append(rule)
    tables = tuple(_make_route_table(host, rules) for host, rules in hosts.items())
    return RuleSet(tables=tables, dialect=DIALECT if tables else "")


def _make_route_table(host: str, rules: list[_RankedRule]) -> RouteTable:
    """Return the table of a host's rules. Two of the same precedence are a problem."""
    ordered = sorted(rules, key=lambda rule: -rule.precedence)
    for first, second in pairwise(ordered):
        with second.checked.collect(second.document.root):
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


def _read_rule(checked: CheckedDocument, selectors: Mapping[str, Labels]) -> _RankedRule:
    """Return the rule of a RouteRule with its precedence."""
    document, spec = checked.document, checked.document.spec
    namespace = document.namespace
    host = read_service_host(spec.need("destination"), namespace)
    rank = read_precedence(spec)
    options = judge_options.read_options(document)
    route = Route((), (), document.at, document.name, options=options)
    with checked.collect(spec):
        match_value = spec.get("match")
        callers = _CallerReader(namespace, selectors)
        match = _read_match(match_value, callers) if match_value else None
        # A match without any condition (`headers: {}`) takes every request, as no match does.
        route = replace(route, matches=(match,) if match and match != Match(match.at) else ())
    with checked.collect(spec):
        has_route = actions.needs_route(spec)
        written = read_actions(spec, refer_to_destination(document, namespace), namespace)
        split = _read_split(written, spec, host, namespace) if has_route else ()
        route = actions.add_actions(
            replace(route, split=split),
            written,
            lambda destination: _read_mirror_target(destination, namespace),
        )
    return _RankedRule(
        host, rank, replace(route, problems=checked.list_errors(document.root)), checked
    )


def read_precedence(spec: Value) -> int:
    """Return the precedence of a rule, 0 by default; higher ones come first."""
    precedence = spec.get("precedence")
    return precedence.integer(-(2**31), 2**31 - 1) if precedence else 0


def _read_mirror_target(destination: Value, namespace: str) -> Target:
    """Return the target of a mirror, which may have labels."""
    labels_value = destination.get("labels")
    target_labels = sort_labels(labels_value.text_mapping()) if labels_value else ()
    return Target(read_service_host(destination, namespace), target_labels, 100, at=destination.at)


def read_service_host(destination: Value, namespace: str) -> str:
    """Return the full host that an IstioService names. Raises BadRules for one without a name."""
    parts = [destination.get(key) for key in ("service", "name", "namespace", "domain")]
    for part in parts:
        if part is not None:
            part.non_empty_text()
    if parts[0] is None:
        destination.need("name")
    return find_service_host(destination, namespace)


@dataclass(frozen=True)
class _CallerReader:
    """Reads the callers in a rule of `namespace`. `selectors` are by full host."""

    namespace: str
    selectors: Mapping[str, Labels]

    def read(self, match: WrittenMatch, source: Value) -> tuple[Labels, str]:
        """Return the labels and the namespace of callers, empty for any.

        Raises BadRules for a Service with an unknown selector, and for labels that exclude its
        selector.
        """
        source_labels = sort_labels(
            {label.name: label.value.text() for label in match.list("source label")}
        )
        namespace_name = match.find("source", "namespace")
        service_name = match.find("source", "service") or match.find("source", "name")
        if service_name is None:
            if not source_labels and namespace_name is None:
                raise source.lacks("at least one of labels, name, namespace, service")
            return source_labels, namespace_name.value.text() if namespace_name else ""
        service_value = service_name.value
        host = read_service_host(source, self.namespace)
        selector = self.selectors.get(host)
        if not selector:
            hint = suggest_nearest(host, self.selectors)
            raise service_value.at.error(
                f"the labels of callers tell them apart: give the Service "
                f"{host} too, whose selector says which{hint}",
                path=service_value.path,
            )
        caller_labels = dict(source_labels)
        for key, value in selector:
            if caller_labels.get(key, value) != value:
                raise service_value.at.error(
                    f"the Service {host} selects {key}={value}, the labels "
                    f"beside say {key}={caller_labels[key]}: nobody is both",
                    path=service_value.path,
                )
        return sort_labels({**dict(selector), **caller_labels}), host.split(".")[1]


def _read_match(value: Value, callers: _CallerReader) -> Match:
    match = read_match(value)
    match.check_form()
    if not value.mapping():
        raise value.error("conditions (a match may be absent, but not empty)")
    source, request = value.get("source"), value.get("request")
    source_labels, source_namespace = callers.read(match, source) if source else ((), "")
    if request is not None:
        request.need("headers")
    strings = {
        name: read_string(condition.value) for name, condition in index_strings(match).items()
    }
    return Match(
        at=value.at,
        uri=strings.get("uri"),
        method=strings.get("method"),
        authority=strings.get("authority"),
        headers=tuple((key, text) for key, text in strings.items() if key not in PSEUDO_HEADERS),
        source=source_labels,
        source_namespace=source_namespace,
        scheme=strings.get("scheme"),
    )


def index_strings(match: WrittenMatch) -> dict[str, WrittenCondition]:
    """Return the conditions by header name (lower case) or pseudo-header (`uri`, `method`).

    Raises BadRules for two on one header.
    """
    conditions: dict[str, WrittenCondition] = {}
    for condition in match.conditions:
        if condition.part not in ("header", *PSEUDO_HEADERS):
            continue
        key = condition.name.lower() or condition.part
        if key in conditions:
            raise condition.at.error("a second condition on this header", path=condition.value.path)
        conditions[key] = condition
    return conditions


def read_string(value: Value) -> StringMatch:
    """Return what a part of a request is compared with; a bare text means exactly that."""
    if isinstance(value.content, str):
        return StringMatch("exact", value.text(), value.at)
    return read_unchecked_string_match(value)


def _read_split(
    written: WrittenActions, spec: Value, host: str, namespace: str
) -> tuple[Target, ...]:
    """Return the split of a rule; without `route` it is all versions of the destination.

    Source: Pilot of that time, proxy/envoy/route.go, buildHTTPRoute. Raises BadRules unless the
    weights sum to 100.
    """
    written.check_form()
    split = written.split
    if split is None:
        return (Target(host, (), 100, at=spec.need("destination").at),)
    is_single = len(split.entries) == 1
    targets = tuple(_read_target(entry, namespace, host, is_single) for entry in split.entries)
    total = sum(target.weight for target in targets)
    if total != 100:
        raise split.value.at.error(f"weights must sum to 100, found {total}", path=split.path)
    pairs = [(target.host, target.labels) for target in targets]
    for entry, pair in zip(split.entries, pairs, strict=True):
        if pairs.count(pair) > 1:
            raise entry.value.at.error(
                "nothing tells it from another entry: add labels", path=entry.value.path
            )
    return targets


def _read_target(entry: WrittenEntry, namespace: str, host: str, is_single: bool) -> Target:
    value, weight, destination = entry.value, entry.weight, entry.destination
    if weight is None and not is_single:
        raise value.at.error("a split of several needs a weight on each", path=value.path)
    share = weight.integer(0, 100) if weight else 100
    own = destination.value if destination is not None else None
    labels = destination.labels_value if destination is not None else None
    return Target(
        host=read_service_host(own, namespace) if own is not None else host,
        labels=sort_labels(labels.text_mapping()) if labels else (),
        weight=100 if is_single else share,  # a single entry counts as 100, whatever it says
        at=value.at,
    )
