"""The proof of a conversion: both sides read into the routing model, and the cases of each.

The sides are compared service by service, so that a part which the model cannot hold is named and
takes nothing else with it. On the mesh the cases that follow from the source are sent to Envoys
with the converted rules, and the other way round: a reader that is wrong about one dialect, or a
translation of it, shows as a red case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from meshproof import inventory, rules
from meshproof.base.errors import BadRules, plural
from meshproof.base.names import MESH, full_name, is_service
from meshproof.convert import beside, outside
from meshproof.convert.actions import OLD_SECONDS
from meshproof.convert.notes import Level, Note
from meshproof.convert.outside import Exit
from meshproof.convert.reading import Source
from meshproof.convert.services import named
from meshproof.documents import manifest
from meshproof.documents.manifest import Document
from meshproof.oracle import derive
from meshproof.oracle import gaps as unproven
from meshproof.oracle.conditions import list_conditions
from meshproof.rules.actions import Retries
from meshproof.rules.legacy import ingress
from meshproof.rules.legacy.ingress import read_paths
from meshproof.rules.model import Route, RouteTable, RuleSet, Target

if TYPE_CHECKING:
    from meshproof.user_rules.loading import UserRules

#: What a reader says of a true key that the model does not hold.
_UNSUPPORTED = "is not supported"
#: So much of what differs is shown.
_SHOWN = 160


@dataclass(frozen=True)
class Part:
    """The routes of one host or of one Ingress, as both sides read."""

    source: RuleSet
    converted: RuleSet

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of its routes."""
        return tuple(host for table in self.source.tables for host in table.hosts)


@dataclass(frozen=True)
class Compared:
    """What came of a comparison: parts that are the same, what differs, what is not compared.

    `outside` are fields that no request proves; `exits` what is let out of the mesh, as both say.
    """

    same: tuple[Part, ...]
    different: tuple[str, ...]
    unproven: tuple[str, ...]
    outside: tuple[str, ...]
    exits: tuple[tuple[Exit, ...], tuple[Exit, ...]] = ((), ())

    def lines(self) -> Iterator[str]:
        """Yield what a person should read."""
        yield from self.different
        yield from self.unproven
        yield from self.outside
        routes = sum(len(table.routes) for part in self.same for table in part.source.tables)
        if self.same:
            hosts = list(dict.fromkeys(host for part in self.same for host in part.hosts))
            shown = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" * (len(hosts) > 3))
            yield f"the same in the routing model: {plural(routes, 'route')} of {shown}"
        if self.exits[0] and not self.different:
            yield f"the same ways out of the mesh: {', '.join(map(str, self.exits[0]))}"


@dataclass(frozen=True)
class Direction:
    """Cases of one side, to be answered by Envoys with the rules of the other."""

    description: str
    user_rules: UserRules


def compare(
    source: Source,
    text: str,
    name: str,
    notes: Sequence[Note],
    old_defaults: bool = False,
) -> Compared:
    """Return what both sides mean, part by part; `name` is that of the output in messages.

    With `old_defaults` the source also means what the old mesh did by itself.
    A part that is not converted as a whole (`notes`), that the model cannot hold, or of which the
    order is not specified, is not compared.
    """
    made = manifest.parse(text, name)
    converted = _Index(made)
    theirs, ours = outside.of_egress_rules(source.legacy), outside.of_service_entries(made)
    exits = tuple(theirs), tuple(ours)
    different = tuple(outside.differences(*exits))
    known = Compared((), different, (), tuple(_outside(source)), exits)
    for documents in _parts(source.legacy):
        known = _compared(known, documents, source, converted, notes, old_defaults)
    return known


def _compared(
    known: Compared,
    documents: list[Document],
    source: Source,
    converted: _Index,
    notes: Sequence[Note],
    old_defaults: bool,
) -> Compared:
    """Return what is known with one part more."""
    names = documents[0].kind + " " + ", ".join(f"'{one.name}'" for one in documents)
    try:
        theirs = rules.read_rules(
            documents, beside.selectors(source.others), ingress.find_istio_classes(source.around)
        )
        theirs = _as_before(theirs) if old_defaults else theirs
        _check_whole(documents, source, notes)
    except BadRules as error:
        return replace(known, unproven=(*known.unproven, f"{error} (not proven: {names})"))
    wanted = converted.counterpart(theirs, documents)
    try:
        routed = any(one.kind != "DestinationRule" for one in wanted)
        ours = rules.read_rules(wanted) if routed else RuleSet()
    except BadRules as error:
        said = f"{error} (converted from {names})"
        if _UNSUPPORTED in str(error):
            return replace(known, unproven=(*known.unproven, said))
        return replace(known, different=(*known.different, said))
    if found := list(differences(theirs, ours)):
        return replace(known, different=(*known.different, *found))
    return replace(known, same=(*known.same, Part(theirs, ours)))


def _as_before(found: RuleSet) -> RuleSet:
    """Return rules with the timeout that the old mesh had by itself, and without retries."""
    tables = []
    for table in found.tables:
        routes = table.routes
        if table.gateways is None and all(route.matches for route in routes):
            rest = Target(table.hosts[0], (), 100, at=table.at)
            routes = (*routes, Route((), (rest,), table.at))
        if table.gateways is None:
            routes = tuple(_defaulted(route) if route.split else route for route in routes)
        tables.append(replace(table, routes=routes))
    return replace(found, tables=tuple(tables))


def _defaulted(route: Route) -> Route:
    timeout = OLD_SECONDS if route.timeout is None else route.timeout
    return replace(route, timeout=timeout, retries=route.retries or Retries(0))


def _outside(source: Source) -> Iterator[str]:
    classes = [one for one in source.around if one.kind == ingress.CLASS_KIND]
    for one in source.legacy:
        for field in unproven.find_unproven_fields([one, *classes]):
            yield f"{field} ({one.kind} '{one.name}')"


def _parts(documents: Iterable[Document]) -> list[list[Document]]:
    """Return the RouteRules of each host, and each Ingress by itself."""
    found: dict[str, list[Document]] = {}
    for one in documents:
        if one.kind == "RouteRule":
            service = named(one.spec.need("destination"), one.namespace)
            found.setdefault(service.host, []).append(one)
        elif one.kind == "Ingress":
            found[f"Ingress {one.namespace}/{one.name}"] = [one]
    return list(found.values())


def _check_whole(documents: list[Document], source: Source, notes: Sequence[Note]) -> None:
    """Raise BadRules for a part of which something is not converted."""
    for note in notes:
        if note.level is not Level.ERROR:
            continue
        owners = [one for one in source.legacy if one.at.file == note.at.file and one.at <= note.at]
        if owners and max(owners, key=lambda one: one.at) in documents:
            raise note.at.error("what is not converted is not compared")
    behind = {
        full_name(path.service.text(), one.namespace): one
        for one in documents
        if one.kind == "Ingress"
        for found in read_paths(one).values()
        for path in found
    }
    for rule in (one for one in source.legacy if behind and one.kind == "RouteRule"):
        host = named(rule.spec.need("destination"), rule.namespace).host
        if host in behind:
            raise behind[host].at.error(
                f"the RouteRule at {rule.at} held behind it; the model has no such rules"
            )


class _Index:
    """The converted objects: those of routes by host, DestinationRules by theirs."""

    def __init__(self, converted: Iterable[Document]) -> None:
        self._routes: dict[str, list[Document]] = {}
        self._subsets: dict[str, list[Document]] = {}
        self._entrances: dict[tuple[str, str], Document] = {}
        for one in converted:
            if one.kind == "Gateway":
                self._entrances[one.namespace, one.name] = one
            elif one.kind == "DestinationRule":
                host = full_name(one.spec.need("host").text(), one.namespace)
                self._subsets.setdefault(host, []).append(one)
            elif one.kind == "VirtualService":
                for value in one.spec.need("hosts").items():
                    host = full_name(value.text(), one.namespace)
                    self._routes.setdefault(host, []).append(one)

    def counterpart(self, theirs: RuleSet, documents: list[Document]) -> list[Document]:
        """Return the converted objects that a part became, with what they send to."""
        keys = {(one.namespace, one.name) for one in documents if one.kind == "Ingress"}
        hosts = dict.fromkeys(host for table in theirs.tables for host in table.hosts)
        found = {
            id(one): one
            for host in hosts
            for one in self._routes.get(host, [])
            if _is_at(one, keys)
        }
        tables = list(found.values())
        goals = dict.fromkeys(goal for one in tables for goal in _goals(one))
        subsets = [one for goal in goals for one in self._subsets.get(goal, [])]
        entrances = [one for key, one in self._entrances.items() if key in keys]
        return [*subsets, *entrances, *tables]


def _is_at(document: Document, entrances: set[tuple[str, str]]) -> bool:
    """Say whether a VirtualService is at one of these gateways, or in sidecars if there is none."""
    gateways = document.spec.get("gateways")
    names = {(document.namespace, one.text()) for one in gateways.items()} if gateways else set()
    return names <= entrances and bool(names) == bool(entrances)


def _goals(document: Document) -> Iterator[str]:
    """Yield the full host of every destination of a VirtualService."""
    for route in document.spec.need("http").items():
        split, mirror = route.get("route"), route.get("mirror")
        found = [one.need("destination") for one in split.items()] if split is not None else []
        for one in [*found, *([mirror] if mirror is not None else [])]:
            yield full_name(one.need("host").text(), document.namespace)


def differences(theirs: RuleSet, ours: RuleSet) -> Iterator[str]:
    """Yield where the converted rules mean something else, each with rule and line."""
    if theirs.gateways != ours.gateways:
        yield f"{theirs.gateways[0].at}: the converted Gateway has other ports or hosts"
    for table in theirs.tables:
        twins = [one for one in ours.tables if one.hosts == table.hosts and _same_place(one, table)]
        if len(twins) != 1:
            yield f"{table.at}: {len(twins)} converted rules are for {', '.join(table.hosts)}"
            continue
        yield from _of_routes(table, _without_implied(table, twins[0]), twins[0])


def _same_place(ours: RouteTable, theirs: RouteTable) -> bool:
    return ours.gateways == ((MESH,) if theirs.gateways is None else theirs.gateways)


def _without_implied(theirs: RouteTable, ours: RouteTable) -> tuple[Route, ...]:
    """Return the converted routes but for the last where it says what RouteRules imply."""
    if theirs.gateways is not None or any(not route.matches for route in theirs.routes):
        return ours.routes
    last = ours.routes[-1]
    implied = Route((), (replace(last.split[0], host=theirs.hosts[0], labels=()),), last.at)
    implied = replace(implied, options=last.options)  # there is nothing to judge there
    return ours.routes[:-1] if last.split and last == implied else ours.routes


def _of_routes(table: RouteTable, routes: tuple[Route, ...], twin: RouteTable) -> Iterator[str]:
    for index, route in enumerate(table.routes):
        name = f"'{route.name}'" if route.name else f"route {index + 1}"
        if index >= len(routes):
            yield f"{route.at}: {name} has no route in the converted rule at {twin.at}"
        elif route != routes[index]:
            other = routes[index]
            for field in fields(Route):
                if field.compare and getattr(route, field.name) != getattr(other, field.name):
                    one, two = (_shown(getattr(it, field.name)) for it in (route, other))
                    yield (
                        f"{route.at}: {name}: {field.name} {one}; the converted route at "
                        f"{other.at} has {two}"
                    )
    for route in routes[len(table.routes) :]:
        rules = f"those of {table.hosts[0]}: {table.at}"
        yield f"{route.at}: this converted route has no rule ({rules})"


def _shown(found: object) -> str:
    """Return a part of a route in words."""
    if isinstance(found, tuple):
        return " or ".join(_shown_one(one) for one in found) or "none"
    return str(found)[:_SHOWN]


def _shown_one(one: object) -> str:
    if isinstance(one, rules.model.Match):
        return " and ".join(each.name for each in list_conditions(one))[:_SHOWN]
    if isinstance(one, rules.model.Target):
        return f"{one.host} {one.subset or 'of any version'} weight {one.weight}"
    return str(one)[:_SHOWN]


def directions(source: Source, text: str, name: str, compared: Compared) -> list[Direction]:
    """Return both directions of the proof on the mesh, for the parts that are the same.

    Parts that are about hosts outside the cluster are left out. Raises BadRules when no case
    follows.
    """
    from meshproof.user_rules.loading import UserRules

    parts = [part for part in compared.same if on_mesh(part)]
    out, made = map(outside.tables, compared.exits)
    if not parts and not out.tables:
        return []
    theirs = sum((part.source for part in parts), out)
    ours = sum((part.converted for part in parts), made)
    subsets = [one for one in manifest.parse(text, name) if one.kind == "DestinationRule"]
    known = inventory.read_inventory([*source.around, *subsets], ours)
    there, here = outside.around(known, out), outside.around(known, made)
    return [
        Direction(
            "the cases of the source, answered by the converted rules",
            UserRules(ours, derive.derive(theirs, there.ports), here),
        ),
        Direction(
            "the cases of the converted rules, answered by the source",
            UserRules(theirs, derive.derive(ours, here.ports), there),
        ),
    ]


def place(at: str, source: Source) -> str:
    """Return a place (`file:line`) with the name of the legacy rule that stands there, if any."""
    file, _, line = at.rpartition(":")
    here = [one for one in source.legacy if one.at.file == file and line.isdigit()]
    before = [one for one in here if one.at.line <= int(line)]
    if not before:
        return at
    rule = max(before, key=lambda one: one.at)
    return f"{at}: {rule.kind} '{rule.name}'"


def on_mesh(part: Part) -> bool:
    """Say whether echo workloads can stand for every service of a part."""
    inside = [host for one in part.source.tables if one.gateways is None for host in one.hosts]
    targets = [
        target.host
        for one in part.source.tables
        for route in one.routes
        for target in route.targets
    ]
    return all(map(is_service, inside + targets))
