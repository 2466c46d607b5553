"""Excludes live objects that meshproof cannot check, by name, so that it can check the others.

A namespace holds whatever its users need: a Gateway with certificates, a route for TCP, a Gateway
of another team's namespace. In a user's file such an object is an error with its line. A live one
is reported as not supported, together with all objects that depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshproof.base.errors import BadRules, Missing, Unsupported
from meshproof.base.names import MESH, qualify_gateway, qualify_host
from meshproof.documents.manifest import At, Document
from meshproof.documents.value import Value
from meshproof.inventory.destination_rules import read_destination_rules

_ISTIO, _GATEWAY_API = "networking.istio.io", "gateway.networking.k8s.io"
_ROUTE_KINDS = ("GRPCRoute", "HTTPRoute", "Ingress", "VirtualService")


@dataclass(frozen=True)
class Excluded:
    """A live object, or a part of one, that is not checked: its place, its name, and why."""

    at: At
    name: str
    because: str

    @property
    def title(self) -> str:
        """The promise that is not proven."""
        return f"{self.name} does as it says"

    def __str__(self) -> str:
        return f"{self.at}: {self.name} is not checked: {self.because}"


class LiveObjects:
    """The objects of live namespaces, without the excluded ones."""

    def __init__(self, documents: Sequence[Document], namespaces: Collection[str]) -> None:
        """`namespaces` are those that were read; Gateways of others are excluded at once."""
        self.documents = list(documents)
        self.excluded: list[Excluded] = []
        self._namespaces = frozenset(namespaces)
        self._remove_gateways(
            lambda name: name.partition("/")[0] not in self._namespaces,
            "namespace {} is not among those that are read",
        )

    @property
    def has_routes(self) -> bool:
        """True while an object is left that routes requests."""
        return any(document.kind in _ROUTE_KINDS for document in self.documents)

    def exclude_cause_of(self, error: BadRules) -> bool:
        """Exclude the object that an error is about, and return whether that was possible.

        Only objects that meshproof does not support, or that name an object of a namespace that was
        not read, are excluded: a wrong rule stays an error.
        """
        matching = [document for document in self.documents if document.at.file == error.file]
        is_outside = isinstance(error, Missing) and error.namespace not in self._namespaces
        if not matching or not (is_outside or isinstance(error, Unsupported)):
            return False
        reason = error.reason
        if is_outside:
            reason = f"{reason} (in the namespaces that are read)"
        self._exclude(matching[0], At(error.file, error.line, error.column), reason)
        return True

    def _exclude(self, document: Document, at: At, because: str) -> None:
        """Exclude an object, and each object that depends on it."""
        self.documents.remove(document)
        self.excluded.append(Excluded(at, _describe_object(document), because))
        if (document.kind, document.group) == ("Gateway", _ISTIO):
            gateway = f"{document.namespace}/{document.name}"
            self._remove_gateways(
                lambda name: name == gateway, f"{_describe_object(document)} is not checked"
            )
        for dependant in [
            dependant for dependant in self.documents if _depends_on(dependant, document)
        ]:
            if dependant in self.documents:  # it may have been excluded with another dependant
                reason = (
                    f"it does not hold without {_describe_object(document)}, which is not checked"
                )
                self._exclude(dependant, dependant.at, reason)

    def _remove_gateways(self, is_excluded: Callable[[str], bool], because: str) -> None:
        """Remove Gateways from VirtualServices: the routes of their sidecars are still checked.

        `because` may have a place `{}` for the namespace of the Gateway.
        """
        for document in self.documents[:]:
            if (document.kind, document.group) != ("VirtualService", _ISTIO):
                continue
            gateways = _read_gateways(document.spec, document.namespace)
            removed = [name for name in gateways if name != MESH and is_excluded(name)]
            for name in removed:
                reason = because.format(name.partition("/")[0])
                self.excluded.append(
                    Excluded(document.at, f"{_describe_object(document)} at Gateway {name}", reason)
                )
            remaining = _remove_gateways_from(document, is_excluded)
            if remaining is None:
                self.documents.remove(document)
                if not removed:
                    reason = "each of its routes is for a Gateway that is not checked"
                    self.excluded.append(Excluded(document.at, _describe_object(document), reason))
            elif remaining is not document:
                self.documents[self.documents.index(document)] = remaining


def _describe_object(document: Document) -> str:
    """Return `Kind namespace/name`."""
    return f"{document.kind} {document.namespace}/{document.name}"


def _read_gateways(parent: Value, namespace: str) -> list[str]:
    """Return the Gateways that a VirtualService or a match names, as `namespace/name`."""
    return [qualify_gateway(gateway.text(), namespace) for gateway in parent.entries("gateways")]


def _remove_gateways_from(
    document: Document, is_excluded: Callable[[str], bool]
) -> Document | None:
    """Return a VirtualService without some Gateways and their routes; None if no route is left.

    A delegate names Gateways in its matches only.
    """
    spec = _filter_gateways(document.spec, document.namespace, is_excluded)
    if spec is None:
        return None
    routes = spec.entries("http")
    remaining = [
        remaining_route
        for route in routes
        if (remaining_route := _remove_gateways_from_route(route, document.namespace, is_excluded))
        is not None
    ]
    if routes and not remaining:
        return None
    if remaining != routes:
        spec = _replace_entries(spec, "http", remaining)
    return (
        document if spec is document.spec else replace(document, root=_replace_spec(document, spec))
    )


def _remove_gateways_from_route(
    route: Value, namespace: str, is_excluded: Callable[[str], bool]
) -> Value | None:
    """Return a route without the matches for excluded Gateways; None if no match is left."""
    matches = route.entries("match")
    remaining = [
        remaining_match
        for match in matches
        if (remaining_match := _filter_gateways(match, namespace, is_excluded)) is not None
    ]
    if remaining == matches:
        return route
    return _replace_entries(route, "match", remaining) if remaining else None


def _filter_gateways(
    holder: Value, namespace: str, is_excluded: Callable[[str], bool]
) -> Value | None:
    """Return a value without its excluded `gateways`; None if none of them is left."""
    gateways = holder.entries("gateways")
    remaining = [
        gateway for gateway in gateways if not _is_excluded_gateway(gateway, namespace, is_excluded)
    ]
    if len(remaining) == len(gateways):
        return holder
    return _replace_entries(holder, "gateways", remaining) if remaining else None


def _is_excluded_gateway(
    gateway: Value, namespace: str, is_excluded: Callable[[str], bool]
) -> bool:
    """Say whether a Gateway is excluded; sidecars (`mesh`) never are."""
    name = qualify_gateway(gateway.text(), namespace)
    return name != MESH and is_excluded(name)


def _replace_entries(holder: Value, key: str, entries: list[Value]) -> Value:
    """Return a copy of a mapping with other entries in the list at `key`."""
    entry = replace(holder.need(key), content=entries)
    return replace(holder, content={**holder.mapping(), key: entry})


def _replace_spec(document: Document, spec: Value) -> Value:
    """Return a copy of an object's root with another spec."""
    return replace(document.root, content={**document.root.mapping(), "spec": spec})


def _depends_on(document: Document, excluded: Document) -> bool:
    """Say whether an object does not hold, or not alone, without an excluded one."""
    if document.group != excluded.group or "spec" not in document.root.mapping():
        return False
    if excluded.group == _GATEWAY_API:
        return bool(_read_parents(document) & (_read_parents(excluded) or {_identify(excluded)}))
    if document.kind != "VirtualService":
        return False
    if excluded.kind == "DestinationRule":
        (rule,) = read_destination_rules([excluded])
        return any(
            "subset" in mapping
            and qualify_host(str(mapping.get("host")), document.namespace) == rule.host
            for mapping in _iter_mappings(document.spec.to_python())
        )
    if excluded.kind != "VirtualService":
        return False
    if excluded.spec.get("hosts") is None:
        return any(
            (
                mapping["delegate"].get("namespace") or document.namespace,
                mapping["delegate"].get("name"),
            )
            == (excluded.namespace, excluded.name)
            for mapping in _iter_mappings(document.spec.to_python())
            if isinstance(mapping.get("delegate"), dict)
        )
    return bool(
        _read_hosts(document) & _read_hosts(excluded)
        and _read_attached_gateways(document) & _read_attached_gateways(excluded)
    )


def _identify(gateway: Document) -> tuple[str, str, str]:
    """Return kind, namespace and name of an object."""
    return gateway.kind, gateway.namespace, gateway.name


def _read_parents(http_route: Document) -> set[tuple[str, str, str]]:
    """Return kind, namespace and name of what a route of Gateway API attaches to."""
    parents = set()
    for parent in http_route.spec.to_python().get("parentRefs") or ():
        kind, namespace = (
            parent.get("kind", "Gateway"),
            parent.get("namespace", http_route.namespace),
        )
        parents.add((kind, namespace, str(parent.get("name"))))
    return parents


def _read_hosts(rule: Document) -> set[str]:
    """Return the full hosts of a VirtualService."""
    return {qualify_host(host.text(), rule.namespace) for host in rule.spec.entries("hosts")}


def _read_attached_gateways(rule: Document) -> set[str]:
    """Return the Gateways of a VirtualService, or `mesh` if it names none."""
    return set(_read_gateways(rule.spec, rule.namespace)) or {MESH}


def _iter_mappings(content: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in plain content, at any depth."""
    if isinstance(content, dict):
        yield content
        content = list(content.values())
    for value in content if isinstance(content, list) else ():
        yield from _iter_mappings(value)
