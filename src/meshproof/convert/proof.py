"""Proves a conversion: compares both sides in the routing model, and builds their cases.

The sides are compared service by service. So a part that the model cannot hold is reported alone.
On the mesh the cases of the source are sent to Envoys with the converted rules, and the other way
round: a wrong reader of one dialect, or a wrong translation, shows as a red case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from meshproof import rules
from meshproof.base.errors import BadRules, pluralize
from meshproof.base.names import MESH, is_service, qualify_host
from meshproof.convert import egress, unconverted
from meshproof.convert.actions import OLD_SECONDS
from meshproof.convert.egress import EgressEndpoint
from meshproof.convert.notes import Level, Note
from meshproof.convert.services import read_service
from meshproof.convert.source import Source
from meshproof.documents import manifest
from meshproof.documents.manifest import Document
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.oracle import derive, gaps
from meshproof.oracle.conditions import list_conditions
from meshproof.rules.actions import Retries
from meshproof.rules.known_hosts import read_known_hosts
from meshproof.rules.legacy import ingress
from meshproof.rules.legacy.ingress import read_paths
from meshproof.rules.model import Route, RouteTable, RuleSet, Target

if TYPE_CHECKING:
    from meshproof.base.place import Place
    from meshproof.user_rules.changes import Change
    from meshproof.user_rules.loading import UserRules

#: Words of a reader about a valid key that the model does not have.
_UNSUPPORTED_MARK = "is not supported"
#: Longest text of a value in a message.
_MAX_LENGTH = 160


@dataclass(frozen=True)
class Part:
    """The routes of one host or of one Ingress, read from both sides."""

    source: RuleSet
    converted: RuleSet

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the routes."""
        return tuple(host for table in self.source.tables for host in table.hosts)


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison: equal parts, differences, and parts that were not compared.

    `unproven_fields` are fields that no request can prove. `endpoints` are the external endpoints
    of both sides.
    """

    same: tuple[Part, ...]
    different: tuple[str, ...]
    not_compared: tuple[str, ...]
    unproven_fields: tuple[str, ...]
    endpoints: tuple[tuple[EgressEndpoint, ...], tuple[EgressEndpoint, ...]] = ((), ())

    def lines(self) -> Iterator[str]:
        """Yield the lines to print."""
        yield from self.different
        yield from self.not_compared
        yield from self.unproven_fields
        routes = sum(len(table.routes) for part in self.same for table in part.source.tables)
        if self.same:
            hosts = list(dict.fromkeys(host for part in self.same for host in part.hosts))
            hosts_text = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" * (len(hosts) > 3))
            yield f"the same in the routing model: {pluralize(routes, 'route')} of {hosts_text}"
        if self.endpoints[0] and not self.different:
            yield f"the same ways out of the mesh: {', '.join(map(str, self.endpoints[0]))}"


@dataclass(frozen=True)
class Direction:
    """Cases of one side, to be sent to Envoys with the rules of the other."""

    description: str
    user_rules: UserRules


def compare(
    source: Source,
    text: str,
    name: str,
    notes: Sequence[Note],
    old_defaults: bool = False,
) -> Comparison:
    """Compare both sides, part by part; `name` is that of the output in messages.

    With `old_defaults` the source also has the defaults of the old mesh. Parts that are not
    converted completely (see `notes`), that the model cannot hold, or whose order was not
    specified, are not compared.
    """
    converted_documents = manifest.parse(text, name)
    index = _Index(converted_documents)
    source_endpoints, converted_endpoints = (
        egress.read_egress_rules(source.legacy),
        egress.read_service_entries(converted_documents),
    )
    endpoints = tuple(source_endpoints), tuple(converted_endpoints)
    different = tuple(egress.find_differences(*endpoints))
    comparison = Comparison((), different, (), tuple(_list_unproven_fields(source)), endpoints)
    for documents in _group_parts(source.legacy):
        comparison = _compare_part(comparison, documents, source, index, notes, old_defaults)
    return comparison


def _compare_part(
    comparison: Comparison,
    documents: list[Document],
    source: Source,
    index: _Index,
    notes: Sequence[Note],
    old_defaults: bool,
) -> Comparison:
    """Return the comparison with one more part."""
    names = documents[0].kind + " " + ", ".join(f"'{document.name}'" for document in documents)
    try:
        source_rules = rules.read_rules(
            documents,
            unconverted.read_selectors(source.unconverted),
            ingress.find_istio_classes(source.inventory_documents),
        )
        source_rules = _add_old_defaults(source_rules) if old_defaults else source_rules
        _check_complete(documents, source, notes)
    except BadRules as error:
        return replace(
            comparison, not_compared=(*comparison.not_compared, f"{error} (not proven: {names})")
        )
    counterparts = index.find_counterparts(source_rules, documents)
    try:
        has_routes = any(document.kind != "DestinationRule" for document in counterparts)
        converted_rules = rules.read_rules(counterparts) if has_routes else RuleSet()
    except BadRules as error:
        message = f"{error} (converted from {names})"
        if _UNSUPPORTED_MARK in str(error):
            return replace(comparison, not_compared=(*comparison.not_compared, message))
        return replace(comparison, different=(*comparison.different, message))
    if rule_differences := list(find_differences(source_rules, converted_rules)):
        return replace(comparison, different=(*comparison.different, *rule_differences))
    return replace(comparison, same=(*comparison.same, Part(source_rules, converted_rules)))


def _add_old_defaults(rule_set: RuleSet) -> RuleSet:
    """Return rules with the default timeout and retries of the old mesh."""
    tables = []
    for table in rule_set.tables:
        routes = table.routes
        if table.gateways is None and all(route.matches for route in routes):
            default_target = Target(table.hosts[0], (), 100, at=table.at)
            routes = (*routes, Route((), (default_target,), table.at))
        if table.gateways is None:
            routes = tuple(
                _add_old_defaults_to_route(route) if route.split else route for route in routes
            )
        tables.append(replace(table, routes=routes))
    return replace(rule_set, tables=tuple(tables))


def _add_old_defaults_to_route(route: Route) -> Route:
    """Return a route with the old defaults where it has no value of its own."""
    timeout = OLD_SECONDS if route.timeout is None else route.timeout
    return replace(route, timeout=timeout, retries=route.retries or Retries(0))


def _list_unproven_fields(source: Source) -> Iterator[str]:
    """Yield the fields of the source that no request can prove."""
    classes = [
        document for document in source.inventory_documents if document.kind == ingress.CLASS_KIND
    ]
    for document in source.legacy:
        for field in gaps.find_unproven_fields([document, *classes]):
            yield f"{field} ({document.kind} '{document.name}')"


def _group_parts(documents: Iterable[Document]) -> list[list[Document]]:
    """Return the RouteRules of each host as one part, and each Ingress as one."""
    parts: dict[str, list[Document]] = {}
    for document in documents:
        if document.kind == "RouteRule":
            service = read_service(document.spec.need("destination"), document.namespace)
            parts.setdefault(service.host, []).append(document)
        elif document.kind == "Ingress":
            parts[f"Ingress {document.namespace}/{document.name}"] = [document]
    return list(parts.values())


def _check_complete(documents: list[Document], source: Source, notes: Sequence[Note]) -> None:
    """Raise BadRules for a part that is not converted completely."""
    for note in notes:
        if note.level is not Level.ERROR:
            continue
        documents_before = [
            document
            for document in source.legacy
            if document.at.file == note.at.file and document.at <= note.at
        ]
        if (
            documents_before
            and max(documents_before, key=lambda document: document.at) in documents
        ):
            raise note.at.error("what is not converted is not compared")
    ingress_of_host = {
        qualify_host(path.service.text(), document.namespace): document
        for document in documents
        if document.kind == "Ingress"
        for host_paths in read_paths(document).values()
        for path in host_paths
    }
    for rule in (
        document for document in source.legacy if ingress_of_host and document.kind == "RouteRule"
    ):
        host = read_service(rule.spec.need("destination"), rule.namespace).host
        if host in ingress_of_host:
            raise ingress_of_host[host].at.error(
                f"the RouteRule at {rule.at} held behind it; the model has no such rules"
            )


class _Index:
    """The converted objects: VirtualServices and DestinationRules by host, Gateways by name."""

    def __init__(self, converted: Iterable[Document]) -> None:
        self._routes: dict[str, list[Document]] = {}
        self._subsets: dict[str, list[Document]] = {}
        self._gateways: dict[tuple[str, str], Document] = {}
        for document in converted:
            if document.kind == "Gateway":
                self._gateways[document.namespace, document.name] = document
            elif document.kind == "DestinationRule":
                host = qualify_host(document.spec.need("host").text(), document.namespace)
                self._subsets.setdefault(host, []).append(document)
            elif document.kind == "VirtualService":
                for value in document.spec.need("hosts").items():
                    host = qualify_host(value.text(), document.namespace)
                    self._routes.setdefault(host, []).append(document)

    def find_counterparts(self, source_rules: RuleSet, documents: list[Document]) -> list[Document]:
        """Return the converted objects of a part, with the DestinationRules of its destinations."""
        ingress_keys = {
            (document.namespace, document.name)
            for document in documents
            if document.kind == "Ingress"
        }
        hosts = dict.fromkeys(host for table in source_rules.tables for host in table.hosts)
        tables_by_id = {
            id(document): document
            for host in hosts
            for document in self._routes.get(host, [])
            if _is_for_gateways(document, ingress_keys)
        }
        tables = list(tables_by_id.values())
        destination_hosts = dict.fromkeys(
            destination_host
            for document in tables
            for destination_host in _iter_destination_hosts(document)
        )
        subsets = [
            document
            for destination_host in destination_hosts
            for document in self._subsets.get(destination_host, [])
        ]
        gateways = [document for key, document in self._gateways.items() if key in ingress_keys]
        return [*subsets, *gateways, *tables]


def _is_for_gateways(document: Document, ingress_keys: set[tuple[str, str]]) -> bool:
    """Say whether a VirtualService is for these Gateways, or for sidecars if there are none."""
    gateways = document.spec.get("gateways")
    names = (
        {(document.namespace, gateway.text()) for gateway in gateways.items()}
        if gateways
        else set()
    )
    return names <= ingress_keys and bool(names) == bool(ingress_keys)


def _iter_destination_hosts(document: Document) -> Iterator[str]:
    """Yield the full host of every destination of a VirtualService."""
    for route in document.spec.need("http").items():
        split, mirror = route.get("route"), route.get("mirror")
        destinations = (
            [destination.need("destination") for destination in split.items()]
            if split is not None
            else []
        )
        for destination in [*destinations, *([mirror] if mirror is not None else [])]:
            yield qualify_host(destination.need("host").text(), document.namespace)


def find_differences(source_rules: RuleSet, converted_rules: RuleSet) -> Iterator[str]:
    """Yield each difference of the converted rules, with rule and line."""
    if source_rules.gateways != converted_rules.gateways:
        yield f"{source_rules.gateways[0].at}: the converted Gateway has other ports or hosts"
    for table in source_rules.tables:
        counterparts = [
            converted_table
            for converted_table in converted_rules.tables
            if converted_table.hosts == table.hosts and _have_same_gateways(converted_table, table)
        ]
        if len(counterparts) != 1:
            hosts = ", ".join(table.hosts)
            yield f"{table.at}: {len(counterparts)} converted rules are for {hosts}"
            continue
        yield from _compare_routes(
            table, _drop_implied_route(table, counterparts[0]), counterparts[0]
        )


def _have_same_gateways(converted: RouteTable, source: RouteTable) -> bool:
    """Say whether two tables have the same Gateways; none on the legacy side means sidecars."""
    return converted.gateways == ((MESH,) if source.gateways is None else source.gateways)


def _drop_implied_route(source: RouteTable, converted: RouteTable) -> tuple[Route, ...]:
    """Return the converted routes without the last one if RouteRules imply it."""
    if source.gateways is not None or any(not route.matches for route in source.routes):
        return converted.routes
    last = converted.routes[-1]
    implied = Route((), (replace(last.split[0], host=source.hosts[0], labels=()),), last.at)
    implied = replace(implied, options=last.options)  # it has nothing to judge
    return converted.routes[:-1] if last.split and last == implied else converted.routes


def _compare_routes(
    table: RouteTable, converted_routes: tuple[Route, ...], converted_table: RouteTable
) -> Iterator[str]:
    """Yield the differences of a table's routes, in their order."""
    for index, route in enumerate(table.routes):
        name = f"'{route.name}'" if route.name else f"route {index + 1}"
        if index >= len(converted_routes):
            yield f"{route.at}: {name} has no route in the converted rule at {converted_table.at}"
        elif route != converted_routes[index]:
            converted_route = converted_routes[index]
            for field in fields(Route):
                if field.compare and getattr(route, field.name) != getattr(
                    converted_route, field.name
                ):
                    source_text, converted_text = (
                        _format_value(getattr(compared_route, field.name))
                        for compared_route in (route, converted_route)
                    )
                    yield (
                        f"{route.at}: {name}: {field.name} {source_text}; the converted route at "
                        f"{converted_route.at} has {converted_text}"
                    )
    for route in converted_routes[len(table.routes) :]:
        rules = f"those of {table.hosts[0]}: {table.at}"
        yield f"{route.at}: this converted route has no rule ({rules})"


def _format_value(value: object) -> str:
    """Return a field of a route as a message says it."""
    if isinstance(value, tuple):
        return " or ".join(_format_element(element) for element in value) or "none"
    return str(value)[:_MAX_LENGTH]


def _format_element(element: object) -> str:
    """Return a match, a destination or another element as a message says it."""
    if isinstance(element, rules.model.Match):
        return " and ".join(condition.text for condition in list_conditions(element))[:_MAX_LENGTH]
    if isinstance(element, rules.model.Target):
        return f"{element.host} {element.subset or 'of any version'} weight {element.weight}"
    return str(element)[:_MAX_LENGTH]


def build_directions(
    source: Source, text: str, name: str, comparison: Comparison
) -> list[Direction]:
    """Return both directions of the proof on the mesh, for the parts that are equal.

    Parts about hosts outside the cluster are left out. Raises BadRules when no case follows.
    """
    from meshproof.user_rules.loading import UserRules

    parts = [part for part in comparison.same if is_provable_on_mesh(part)]
    source_egress, converted_egress = map(egress.build_rule_set, comparison.endpoints)
    if not parts and not source_egress.tables:
        return []
    source_rules = sum((part.source for part in parts), source_egress)
    converted_rules = sum((part.converted for part in parts), converted_egress)
    subsets = [
        document for document in manifest.parse(text, name) if document.kind == "DestinationRule"
    ]
    shared_hosts = read_known_hosts([*source.inventory_documents, *subsets], converted_rules)
    source_hosts, converted_hosts = (
        egress.add_external_hosts(shared_hosts, source_egress),
        egress.add_external_hosts(shared_hosts, converted_egress),
    )
    return [
        Direction(
            "the cases of the source, answered by the converted rules",
            UserRules(
                converted_rules,
                _derive(source_rules, source_hosts),
                converted_hosts,
            ),
        ),
        Direction(
            "the cases of the converted rules, answered by the source",
            UserRules(
                source_rules,
                _derive(converted_rules, converted_hosts),
                source_hosts,
            ),
        ),
    ]


def _derive(rule_set: RuleSet, known_hosts: KnownHosts) -> derive.Plan:
    """Return the cases of rules on known hosts."""
    absent = known_hosts.select_absent(host for table in rule_set.tables for host in table.hosts)
    return derive.derive(rule_set, known_hosts.http_ports, absent_hosts=absent)


def find_changes(directions: Sequence[Direction], name: str) -> list[Change]:
    """Return the requests of either side that the converted rules answer otherwise.

    `name` is that of the output in messages. This is what `meshproof compare` does.
    """
    from meshproof.user_rules.changes import compare_requests, group_changes
    from meshproof.user_rules.loading import UserRules
    from meshproof.user_rules.sides import Side, SideName

    if not directions:
        return []
    to_converted, to_source = (direction.user_rules for direction in directions)
    source = UserRules(to_source.rules, to_converted.plan, to_source.known_hosts)
    converted = UserRules(to_converted.rules, to_source.plan, to_converted.known_hosts)
    before, after = (
        Side(SideName(text, text), user_rules, compares_policies=False)
        for text, user_rules in (("the source", source), (name, converted))
    )
    return group_changes(compare_requests(before, after))


def describe_place(place: Place, source: Source) -> str:
    """Return a place with the name of the legacy rule there, if any."""
    documents = [document for document in source.legacy if document.at.file == place.file]
    documents_before = [document for document in documents if document.at.line <= place.line]
    if not documents_before:
        return str(place)
    rule = max(documents_before, key=lambda document: document.at)
    return f"{place}: {rule.kind} '{rule.name}'"


def is_provable_on_mesh(part: Part) -> bool:
    """Say whether echo workloads can stand for every service of a part."""
    sidecar_hosts = [
        host for table in part.source.tables if table.gateways is None for host in table.hosts
    ]
    target_hosts = [
        target.host
        for table in part.source.tables
        for route in table.routes
        for target in route.targets
    ]
    return all(map(is_service, sidecar_hosts + target_hosts))
