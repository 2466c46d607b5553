"""Two rules for one host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from meshproof.base.names import MESH
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.conditions import are_exclusive
from meshproof.lint.model.route import Match, RouteTable
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.written import Reference

CODE = "MP0210"


@dataclass(frozen=True)
class _Claim:
    """A host that a VirtualService routes, in one protocol, at one gateway (MESH: in sidecars)."""

    host: Reference
    gateway: str
    protocol: str
    table: RouteTable

    @property
    def document(self) -> Document:
        """The VirtualService."""
        return self.table.document


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two VirtualServices that route one host at one gateway."""
    claims: dict[tuple[str, str, str], list[_Claim]] = {}
    for table in read_route_tables(project):
        for claim in _list_claims(table) if table.dialect == "VirtualService" else ():
            key = claim.host.full_name, claim.gateway, claim.protocol
            claims.setdefault(key, []).append(claim)
    reported_pairs: set[tuple[int, int]] = set()
    for rivals in claims.values():
        for first, second in combinations(rivals, 2):
            pair = (id(first.document), id(second.document))
            if pair not in reported_pairs and _can_conflict(first, second):
                reported_pairs.add(pair)
                yield _build_hit(first, second)


def _list_claims(table: RouteTable) -> Iterator[_Claim]:
    """Yield each host, gateway and protocol of a VirtualService."""
    for host in table.hosts:
        for gateway in dict.fromkeys(gateway.full_name for gateway in table.gateways):
            for protocol in dict.fromkeys(route.protocol for route in table.routes):
                yield _Claim(host, gateway, protocol, table)


def _can_conflict(first: _Claim, second: _Claim) -> bool:
    """Say whether two rules can take one request: some namespace sees both, and matches overlap."""
    first_namespaces = _read_export_namespaces(first.document)
    second_namespaces = _read_export_namespaces(second.document)
    is_seen_by_all = "*" in first_namespaces | second_namespaces
    if not is_seen_by_all and first_namespaces.isdisjoint(second_namespaces):
        return False
    if _identify(first.document) == _identify(second.document):
        return False  # one object that replaces the other: MP0209
    if first.gateway == MESH or first.protocol != "http":
        return True
    return any(
        _can_share_request(match, rival_match)
        for route in first.table.routes_of("http")
        for match in route.matches
        for rival in second.table.routes_of("http")
        for rival_match in rival.matches
    )


def _identify(document: Document) -> tuple[str, str]:
    return document.namespace, document.name


def _read_export_namespaces(document: Document) -> set[str]:
    """Return the namespaces that see a rule (its exportTo); `*` stands for all."""
    names = {read_text(name) for name in find_values(read_spec(document), "exportTo")} or {"*"}
    return {document.namespace if name == "." else name for name in names}


def _can_share_request(match: Match, rival_match: Match) -> bool:
    """Say whether a request may satisfy two matches."""
    return not any(
        are_exclusive(condition, rival_condition)
        for condition in match.conditions
        for rival_condition in rival_match.conditions
    )


def _build_hit(first: _Claim, second: _Claim) -> Hit:
    earlier_rule = f"VirtualService '{first.document.name}' at {first.host.at}"
    host, gateway = second.host.full_name, second.gateway
    consequence = f"routes {host} at {gateway} too, and which comes first is not said"
    if gateway == MESH:
        consequence = f"routes {host} in sidecars too, and only one of them is used"
    return Hit(
        second.host.at,
        f"{earlier_rule} {consequence}",
        "one VirtualService with the routes of both, in order",
    )
