"""Reads the listeners of Gateway API's Gateways.

Source: Gateway API reference, Gateway (Listener, AllowedRoutes).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshproof.documents.manifest import At, Document, Value

GROUP = "gateway.networking.k8s.io"
#: The class of the gateways that Istio makes; others are of other controllers.
CLASS = "istio"
ROUTES = ("HTTPRoute", "GRPCRoute")
#: The label that every namespace has: its name (Kubernetes reference, well-known labels).
_NAME = "kubernetes.io/metadata.name"
_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP")
_OTHER_ROUTES = ("TCPRoute", "TLSRoute", "UDPRoute")


@dataclass(frozen=True)
class Listener:
    """A listener: its Gateway (namespace/name), its host (`*` for all), which routes it takes.

    Routes must be of one of `kinds`, in one of `namespaces` (None: of any).
    """

    gateway: str
    name: str
    host: str
    port: int
    namespaces: tuple[str, ...] | None
    kinds: tuple[str, ...]
    at: At

    @property
    def full_name(self) -> str:
        """The name that it has as a gateway of the model."""
        return f"{self.gateway}/{self.name}"

    def accepts(self, route: Document) -> bool:
        """Say whether a route may attach."""
        near = self.namespaces is None or route.namespace in self.namespaces
        return route.kind in self.kinds and near

    def narrows(self, other: Listener) -> bool:
        """Say whether requests that its host takes are none of `other`'s, which is wider."""
        beside = self.gateway == other.gateway and self.port == other.port
        return beside and self.host != other.host and narrower(self.host, other.host) == self.host


def narrower(one: str, two: str) -> str:
    """Return the host that both take, where `*` and `*.example.com` take many; else nothing."""
    for host, wide in ((one, two), (two, one)):
        if wide in (host, "*") or (wide.startswith("*.") and host.endswith(wide[1:])):
            return host
    return ""


def listeners(gateway: Document) -> Iterator[Listener]:
    """Yield the listeners of a Gateway.

    Raises BadRules with its place for what is unknown, or not supported yet: another class, TLS.
    """
    spec = gateway.spec
    spec.allow(
        *("addresses", "gatewayClassName", "infrastructure", "listeners"),
        unsupported=("allowedListeners", "defaultScope", "tls"),
    )
    name = spec.need("gatewayClassName")
    if name.text() != CLASS:
        raise name.at.unsupported(
            f"{name.path}: only '{CLASS}' is supported, found '{name.text()}'"
        )
    entries = spec.need("listeners")
    if not entries.items():
        raise entries.error("at least one listener")
    for entry in entries.items():
        yield _listener(gateway, entry)


def _listener(gateway: Document, entry: Value) -> Listener:
    entry.allow("allowedRoutes", "hostname", "name", "port", "protocol", unsupported=("tls",))
    protocol, hostname = entry.need("protocol"), entry.get("hostname")
    if protocol.choice(*_PROTOCOLS) != "HTTP":
        raise protocol.at.unsupported(f"{protocol.path}: {protocol.text()} is not supported yet")
    allowed = entry.get("allowedRoutes")
    if allowed is not None:
        allowed.allow("kinds", "namespaces")
    return Listener(
        gateway=f"{gateway.namespace}/{gateway.name}",
        name=entry.need("name").filled(),
        host=hostname.text() or "*" if hostname else "*",
        port=entry.need("port").integer(1, 65535),
        namespaces=_namespaces(allowed.get("namespaces") if allowed else None, gateway),
        kinds=_kinds(allowed.get("kinds") if allowed else None),
        at=entry.at,
    )


def _namespaces(namespaces: Value | None, gateway: Document) -> tuple[str, ...] | None:
    if namespaces is None:
        return (gateway.namespace,)
    namespaces.allow("from", "selector")
    where = namespaces.get("from")
    found = where.choice("All", "Same", "Selector") if where else "Same"
    if found == "Selector":
        return _selected(namespaces.need("selector"))
    return None if found == "All" else (gateway.namespace,)


def _selected(selector: Value) -> tuple[str, ...]:
    """Return the namespaces that a selector names; what other labels they have is not known."""
    selector.allow("matchExpressions", "matchLabels")
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    given = labels.texts() if labels else {}
    each: list[tuple[str, list[str]]] = [(key, [value]) for key, value in given.items()]
    for one in expressions.items() if expressions else ():
        one.allow("key", "operator", "values")
        if one.need("operator").choice("DoesNotExist", "Exists", "In", "NotIn") != "In":
            raise one.need("operator").error("In, the only one that is supported yet")
        each.append((one.need("key").text(), [it.text() for it in one.need("values").items()]))
    if not each or {key for key, _ in each} != {_NAME}:
        raise selector.at.unsupported(f"{selector.path}: only the label {_NAME} is supported yet")
    first, *others = (set(names) for _, names in each)
    return tuple(sorted(first.intersection(*others)))


def _kinds(kinds: Value | None) -> tuple[str, ...]:
    found = []
    for kind in kinds.items() if kinds else ():
        kind.allow("group", "kind")
        group = kind.get("group")
        if group is not None:
            group.choice(GROUP)
        found.append(kind.need("kind").choice(*ROUTES, *_OTHER_ROUTES))
    return tuple(found) or ROUTES


def check_apart(known: Iterable[Listener]) -> None:
    """Raise BadRules for two listeners of a Gateway that are called, or listen, alike."""
    for one, two in itertools.combinations(known, 2):
        if one.gateway != two.gateway:
            continue
        if one.name == two.name:
            raise two.at.error(f"a second listener '{two.name}'; the first is at {one.at}")
        if (one.port, one.host) == (two.port, two.host):
            raise two.at.error(
                f"the listener '{two.name}' has port {two.port} and host {two.host} of "
                f"'{one.name}' at {one.at}"
            )
