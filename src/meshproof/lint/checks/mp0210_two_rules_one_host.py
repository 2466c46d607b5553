"""Two rules for one host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from meshproof.base.names import MESH, qualify_host
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0210"


@dataclass(frozen=True)
class _Claim:
    """A host that a VirtualService routes, in one protocol, at one gateway (MESH: in sidecars)."""

    host: str
    gateway: str
    protocol: str
    value: Value
    document: Document


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two VirtualServices that route one host at one gateway."""
    claims: dict[tuple[str, str, str], list[_Claim]] = {}
    for document in project.named_documents("VirtualService"):
        for claim in _list_claims(document):
            claims.setdefault((claim.host, claim.gateway, claim.protocol), []).append(claim)
    reported_pairs: set[tuple[int, int]] = set()
    for rivals in claims.values():
        for first, second in combinations(rivals, 2):
            pair = (id(first.document), id(second.document))
            if pair not in reported_pairs and _can_conflict(first, second):
                reported_pairs.add(pair)
                yield _build_hit(first, second)


def _list_claims(document: Document) -> Iterator[_Claim]:
    """Yield each host, gateway and protocol of a VirtualService."""
    spec = read_spec(document)
    gateways = [_resolve_gateway(name, document) for name in find_values(spec, "gateways")]
    for host in find_values(spec, "hosts"):
        full_host = qualify_host(read_text(host), document.namespace)
        for gateway in dict.fromkeys(gateways or [MESH]):
            for protocol in ("http", "tls", "tcp"):
                if find_values(spec, protocol):
                    yield _Claim(full_host, gateway, protocol, host, document)


def _resolve_gateway(name: Value, document: Document) -> str:
    """Return a gateway as NAMESPACE/NAME, or MESH."""
    gateway = read_text(name)
    if gateway == MESH or "/" in gateway:
        return gateway
    return f"{document.namespace}/{gateway.split('.')[0]}"


def _can_conflict(first: _Claim, second: _Claim) -> bool:
    """Say whether two rules can take one request: some namespace sees both, and matches overlap."""
    first_document, second_document = first.document, second.document
    first_namespaces = _read_export_namespaces(first_document)
    second_namespaces = _read_export_namespaces(second_document)
    is_seen_by_all = "*" in first_namespaces | second_namespaces
    if not is_seen_by_all and first_namespaces.isdisjoint(second_namespaces):
        return False
    if _identify(first_document) == _identify(second_document):
        return False  # one object that replaces the other: MP0209
    if first.gateway == MESH or first.protocol != "http":
        return True
    return any(
        _can_share_request(route, rival)
        for route in find_values(read_spec(first_document), "http")
        for rival in find_values(read_spec(second_document), "http")
    )


def _identify(document: Document) -> tuple[str, str]:
    return document.namespace, document.name


def _read_export_namespaces(document: Document) -> set[str]:
    """Return the namespaces that see a rule (its exportTo); `*` stands for all."""
    names = {read_text(name) for name in find_values(read_spec(document), "exportTo")} or {"*"}
    return {document.namespace if name == "." else name for name in names}


def _can_share_request(route: Value, rival: Value) -> bool:
    """Say whether two routes can take one request, judging by path, method, scheme and host."""
    matches, rival_matches = find_values(route, "match"), find_values(rival, "match")
    if not matches or not rival_matches:
        return True
    return any(
        not _are_disjoint(match, rival_match) for match in matches for rival_match in rival_matches
    )


def _are_disjoint(first_match: Value, second_match: Value) -> bool:
    """Say whether two matches have conditions that no request satisfies together."""
    for part in ("uri", "method", "scheme", "authority"):
        pairs = [
            (kind, read_text(value))
            for match in (first_match, second_match)
            for condition in find_values(match, part)
            if isinstance(condition.content, dict)
            for kind, value in condition.content.items()
        ]
        if len(pairs) == 2 and _are_exclusive(*pairs):
            return True
    return False


def _are_exclusive(first: tuple[str, str], second: tuple[str, str]) -> bool:
    """Say whether no text satisfies both conditions (kind, value)."""
    kinds = {first[0], second[0]}
    if kinds == {"exact"}:
        return first[1] != second[1]
    if kinds == {"prefix"}:
        return not (first[1].startswith(second[1]) or second[1].startswith(first[1]))
    if kinds == {"exact", "prefix"}:
        exact, prefix = (first[1], second[1]) if first[0] == "exact" else (second[1], first[1])
        return not exact.startswith(prefix)
    return False


def _build_hit(first: _Claim, second: _Claim) -> Hit:
    earlier_rule = f"VirtualService '{first.document.name}' at {first.value.at}"
    if second.gateway == MESH:
        consequence = f"routes {second.host} in sidecars too, and only one of them is used"
    else:
        consequence = (
            f"routes {second.host} at {second.gateway} too, and which comes first is not said"
        )
    return Hit(
        second.value.at,
        f"{earlier_rule} {consequence}",
        "one VirtualService with the routes of both, in order",
    )
