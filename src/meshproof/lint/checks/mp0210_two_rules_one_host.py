"""Two rules for one host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from meshproof.base.names import MESH, full_name
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text

CODE = "MP0210"


@dataclass(frozen=True)
class _Claim:
    """A host that a VirtualService routes, in one protocol, at one place."""

    host: str
    place: str
    protocol: str
    value: Value
    document: Document


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two VirtualServices that route one host at one place."""
    claims: dict[tuple[str, str, str], list[_Claim]] = {}
    for document in project.named_documents("VirtualService"):
        for claim in _claims(document):
            claims.setdefault((claim.host, claim.place, claim.protocol), []).append(claim)
    told: set[tuple[int, int]] = set()
    for rivals in claims.values():
        for first, second in combinations(rivals, 2):
            pair = (id(first.document), id(second.document))
            if pair not in told and _meet(first, second):
                told.add(pair)
                yield _hit(first, second)


def _claims(document: Document) -> Iterator[_Claim]:
    found = read_spec(document)
    places = [_gateway(one, document) for one in find_values(found, "gateways")] or [MESH]
    for host in find_values(found, "hosts"):
        name = full_name(read_text(host), document.namespace)
        for place in dict.fromkeys(places):
            for protocol in ("http", "tls", "tcp"):
                if find_values(found, protocol):
                    yield _Claim(name, place, protocol, host, document)


def _gateway(name: Value, document: Document) -> str:
    said = read_text(name)
    return said if said == MESH or "/" in said else f"{document.namespace}/{said.split('.')[0]}"


def _meet(first: _Claim, second: _Claim) -> bool:
    """Say whether both hold for some request: seen from one namespace, and not kept apart."""
    one, other = first.document, second.document
    seen = _seen(one) & _seen(other) or (_seen(one) | _seen(other)) & {"*"}
    if not seen or (one.namespace, one.name) == (other.namespace, other.name):
        return False
    if first.place == MESH or first.protocol != "http":
        return True
    return any(
        _overlap(route, rival)
        for route in find_values(read_spec(one), "http")
        for rival in find_values(read_spec(other), "http")
    )


def _seen(document: Document) -> set[str]:
    """Return the namespaces that see a rule (its exportTo); `*` stands for all."""
    names = {read_text(one) for one in find_values(read_spec(document), "exportTo")} or {"*"}
    return {document.namespace if name == "." else name for name in names}


def _overlap(route: Value, rival: Value) -> bool:
    """Say whether two routes can take one request, as far as path and method tell."""
    ours, theirs = find_values(route, "match"), find_values(rival, "match")
    if not ours or not theirs:
        return True
    return any(not _apart(one, other) for one in ours for other in theirs)


def _apart(one: Value, other: Value) -> bool:
    for part in ("uri", "method", "scheme", "authority"):
        pairs = [
            (kind, read_text(value))
            for match in (one, other)
            for found in find_values(match, part)
            if isinstance(found.content, dict)
            for kind, value in found.content.items()
        ]
        if len(pairs) == 2 and _differ(*pairs):
            return True
    return False


def _differ(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Say whether no text satisfies both conditions (kind, value)."""
    kinds = {one[0], other[0]}
    if kinds == {"exact"}:
        return one[1] != other[1]
    if kinds == {"prefix"}:
        return not (one[1].startswith(other[1]) or other[1].startswith(one[1]))
    if kinds == {"exact", "prefix"}:
        exact, prefix = (one[1], other[1]) if one[0] == "exact" else (other[1], one[1])
        return not exact.startswith(prefix)
    return False


def _hit(first: _Claim, second: _Claim) -> Hit:
    other = f"VirtualService '{first.document.name}' at {first.value.at}"
    if second.place == MESH:
        said = f"routes {second.host} in sidecars too, and only one of them is used"
    else:
        said = f"routes {second.host} at {second.place} too, and which comes first is not said"
    return Hit(
        second.value.at, f"{other} {said}", "one VirtualService with the routes of both, in order"
    )
