"""The listeners of Gateway API's Gateways, and which routes each of them takes.

Source: Gateway API reference, Gateway (Listener, AllowedRoutes).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.problems import CheckedDocument, read_valid
from meshproof.inventory import gateways as inventory
from meshproof.inventory.namespaces import NamespaceLabels, NamespaceSelector

GROUP = inventory.GATEWAY_API_GROUP
ROUTE_KINDS = inventory.ROUTE_KINDS


@dataclass(frozen=True)
class Listener:
    """A listener: its Gateway (namespace/name), its host (`*` for all), and which routes attach.

    Routes must be of one of `kinds`, in one of `namespaces` (None for any). `namespace_labels` are
    those that are known. TLS may end at it.
    """

    gateway: str
    name: str
    host: str
    port: int
    namespaces: NamespaceSelector | None
    kinds: tuple[str, ...]
    at: At
    is_tls: bool = False
    namespace_labels: NamespaceLabels = field(default_factory=dict, compare=False)

    @property
    def full_name(self) -> str:
        """The name of the listener as a gateway of the model."""
        return f"{self.gateway}/{self.name}"

    def accepts(self, route: Document, parent: Value) -> bool:
        """Say whether a route may attach by its `parent`.

        Raises BadRules, at the parent, where that depends on labels that are not known.
        """
        if route.kind not in self.kinds or self.namespaces is None:
            return route.kind in self.kinds
        is_selected = self.namespaces.selects(route.namespace, self.namespace_labels)
        if is_selected is None:
            raise parent.at.unsupported(
                f"{self.gateway} takes routes by the labels of their namespace "
                f"({self.at}), and no Namespace object says those of {route.namespace}",
                path=parent.path,
            )
        return is_selected

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


def read_listeners(checked: CheckedDocument, namespace_labels: NamespaceLabels) -> list[Listener]:
    """Return the listeners of a Gateway, none of one with a problem.

    Raises BadRules for two listeners with one name, or with one port and host.
    """
    listeners = [
        Listener(
            gateway=gateway.name,
            name=server.name,
            host=server.hosts[0],
            port=server.number,
            namespaces=server.route_namespaces,
            kinds=server.route_kinds,
            at=server.at,
            is_tls=bool(server.tls_mode),
            namespace_labels=namespace_labels,
        )
        for gateway in read_valid([checked], inventory.read_gateways)
        for server in gateway.servers
    ]
    _check_distinct(listeners)
    return listeners


def _check_distinct(listeners: Iterable[Listener]) -> None:
    """Raise BadRules for two listeners of a Gateway with one name, or one port and host."""
    for first, second in itertools.combinations(listeners, 2):
        if first.name == second.name:
            raise second.at.error(f"a second listener '{second.name}'; the first is at {first.at}")
        if (first.port, first.host) == (second.port, second.host):
            raise second.at.error(
                f"the listener '{second.name}' has port {second.port} and host {second.host} of "
                f"'{first.name}' at {first.at}"
            )
