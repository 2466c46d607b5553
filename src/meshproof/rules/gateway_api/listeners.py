"""Reads the listeners of Gateway API's Gateways.

Source: Gateway API reference, Gateway (Listener, AllowedRoutes).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshproof.documents.manifest import At, Document, Value

GROUP = "gateway.networking.k8s.io"
#: The class of Istio's gateways; others belong to other controllers.
GATEWAY_CLASS = "istio"
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")
#: The label of every namespace with its name (Kubernetes reference, well-known labels).
_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP")
_OTHER_ROUTE_KINDS = ("TCPRoute", "TLSRoute", "UDPRoute")


@dataclass(frozen=True)
class Listener:
    """A listener: its Gateway (namespace/name), its host (`*` for all), and which routes attach.

    Routes must be of one of `kinds`, in one of `namespaces` (None for any).
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
        """The name of the listener as a gateway of the model."""
        return f"{self.gateway}/{self.name}"

    def accepts(self, route: Document) -> bool:
        """Say whether a route may attach."""
        is_allowed_namespace = self.namespaces is None or route.namespace in self.namespaces
        return route.kind in self.kinds and is_allowed_namespace

    def narrows(self, wider: Listener) -> bool:
        """Say whether this listener takes requests away from `wider`, at the same port."""
        is_same_port = self.gateway == wider.gateway and self.port == wider.port
        return (
            is_same_port
            and self.host != wider.host
            and intersect_hosts(self.host, wider.host) == self.host
        )


def intersect_hosts(first: str, second: str) -> str:
    """Return the narrower host if the other one contains it, else "". `*` is a wildcard."""
    for host, wide in ((first, second), (second, first)):
        if wide in (host, "*") or (wide.startswith("*.") and host.endswith(wide[1:])):
            return host
    return ""


def read_listeners(gateway: Document) -> Iterator[Listener]:
    """Yield the listeners of a Gateway.

    Raises BadRules with file and line for unknown or unsupported values: another class, TLS.
    """
    spec = gateway.spec
    spec.check_keys(
        *("addresses", "gatewayClassName", "infrastructure", "listeners"),
        unsupported=("allowedListeners", "defaultScope", "tls"),
    )
    name = spec.need("gatewayClassName")
    if name.text() != GATEWAY_CLASS:
        raise name.at.unsupported(
            f"{name.path}: only '{GATEWAY_CLASS}' is supported, found '{name.text()}'"
        )
    entries = spec.need("listeners")
    if not entries.items():
        raise entries.error("at least one listener")
    for entry in entries.items():
        yield _read_listener(gateway, entry)


def _read_listener(gateway: Document, entry: Value) -> Listener:
    entry.check_keys("allowedRoutes", "hostname", "name", "port", "protocol", unsupported=("tls",))
    protocol, hostname = entry.need("protocol"), entry.get("hostname")
    if protocol.choice(*_PROTOCOLS) != "HTTP":
        raise protocol.at.unsupported(f"{protocol.path}: {protocol.text()} is not supported yet")
    allowed = entry.get("allowedRoutes")
    if allowed is not None:
        allowed.check_keys("kinds", "namespaces")
    return Listener(
        gateway=f"{gateway.namespace}/{gateway.name}",
        name=entry.need("name").non_empty_text(),
        host=hostname.text() or "*" if hostname else "*",
        port=entry.need("port").integer(1, 65535),
        namespaces=_read_namespaces(allowed.get("namespaces") if allowed else None, gateway),
        kinds=_read_route_kinds(allowed.get("kinds") if allowed else None),
        at=entry.at,
    )


def _read_namespaces(namespaces: Value | None, gateway: Document) -> tuple[str, ...] | None:
    """Return the namespaces whose routes may attach, None for all."""
    if namespaces is None:
        return (gateway.namespace,)
    namespaces.check_keys("from", "selector")
    source = namespaces.get("from")
    choice = source.choice("All", "Same", "Selector") if source else "Same"
    if choice == "Selector":
        return _read_selector(namespaces.need("selector"))
    return None if choice == "All" else (gateway.namespace,)


def _read_selector(selector: Value) -> tuple[str, ...]:
    """Return the namespaces that a selector names. Only the label with the name is known."""
    selector.check_keys("matchExpressions", "matchLabels")
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    required_labels = labels.text_mapping() if labels else {}
    requirements: list[tuple[str, list[str]]] = [
        (key, [value]) for key, value in required_labels.items()
    ]
    for expression in expressions.items() if expressions else ():
        expression.check_keys("key", "operator", "values")
        if expression.need("operator").choice("DoesNotExist", "Exists", "In", "NotIn") != "In":
            raise expression.need("operator").error("In, the only one that is supported yet")
        requirements.append(
            (
                expression.need("key").text(),
                [value.text() for value in expression.need("values").items()],
            )
        )
    if not requirements or {key for key, _ in requirements} != {_NAMESPACE_LABEL}:
        raise selector.at.unsupported(
            f"{selector.path}: only the label {_NAMESPACE_LABEL} is supported yet"
        )
    allowed, *further = (set(names) for _, names in requirements)
    return tuple(sorted(allowed.intersection(*further)))


def _read_route_kinds(kinds: Value | None) -> tuple[str, ...]:
    names = []
    for kind in kinds.items() if kinds else ():
        kind.check_keys("group", "kind")
        group = kind.get("group")
        if group is not None:
            group.choice(GROUP)
        names.append(kind.need("kind").choice(*ROUTE_KINDS, *_OTHER_ROUTE_KINDS))
    return tuple(names) or ROUTE_KINDS


def check_distinct(listeners: Iterable[Listener]) -> None:
    """Raise BadRules for two listeners of a Gateway with one name, or one port and host."""
    for first, second in itertools.combinations(listeners, 2):
        if first.gateway != second.gateway:
            continue
        if first.name == second.name:
            raise second.at.error(f"a second listener '{second.name}'; the first is at {first.at}")
        if (first.port, first.host) == (second.port, second.host):
            raise second.at.error(
                f"the listener '{second.name}' has port {second.port} and host {second.host} of "
                f"'{first.name}' at {first.at}"
            )
