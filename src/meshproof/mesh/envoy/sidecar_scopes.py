"""What a proxy gets of services and rules: all, or what the Sidecar for its workload imports.

Source: istiod, pilot/pkg/model/sidecar.go (convertIstioListenerToWrapper, collectImportedServices).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.base.names import ROOT_NAMESPACE, Labels
from meshproof.inventory.sidecars import EgressListener
from meshproof.mesh.envoy.hosts import intersect_hosts, is_within
from meshproof.mesh.envoy.topology import Service
from meshproof.rules.model import RouteTable, RuleSet


@dataclass(frozen=True)
class SidecarScope:
    """The egress of a proxy in `namespace`; `listeners` of None import everything."""

    namespace: str
    listeners: tuple[EgressListener, ...] | None

    @classmethod
    def for_proxy(cls, rules: RuleSet, namespace: str, labels: Labels) -> SidecarScope:
        """Return the scope of a proxy with these labels: a Sidecar with its labels comes first."""
        own = [
            sidecar
            for sidecar in rules.sidecars
            if sidecar.document.namespace == namespace and set(sidecar.selector) <= set(labels)
        ]
        root = [
            sidecar
            for sidecar in rules.sidecars
            if sidecar.document.namespace == ROOT_NAMESPACE and not sidecar.selector
        ]
        chosen = next(iter(own or root), None)
        return cls(namespace, chosen.listeners or None if chosen else None)

    def has_service(self, service: Service, port: int) -> bool:
        """Say whether the listener for a port imports a service."""
        if self.listeners is None:
            return True
        return any(self._imports_service(item, service) for item in self._listeners_of(port))

    def has_table(self, table: RouteTable, port: int) -> bool:
        """Say whether the listener for a port imports a rule."""
        if self.listeners is None:
            return True
        return any(self._imports_table(item, table) for item in self._listeners_of(port))

    def has_cluster(self, rules: RuleSet, service: Service, port: int) -> bool:
        """Say whether some listener imports a service's port, itself or for a rule to it.

        A listener with a port knows that port of its services alone.
        """
        if self.listeners is None:
            return True
        leading = [
            table
            for table in rules.tables
            if any(
                target.host == service.host for route in table.routes for target in route.targets
            )
        ]
        return any(
            item.port in (None, port)
            and (
                self._imports_service(item, service)
                or any(self._imports_table(item, table) for table in leading)
            )
            for item in self.listeners
        )

    def _listeners_of(self, port: int) -> Iterator[EgressListener]:
        """Yield the first listener that takes a port."""
        for listener in self.listeners or ():
            if listener.port is None or listener.port == port:
                yield listener
                return

    def _imports_service(self, listener: EgressListener, service: Service) -> bool:
        # A service outside the cluster has no namespace here: its entry may be in any.
        namespace = None if service.is_external else service.namespace
        imported, excluded = self._list_patterns(listener, namespace)
        return any(is_within(service.host, host) for host in imported) and not any(
            is_within(service.host, host) for host in excluded
        )

    def _imports_table(self, listener: EgressListener, table: RouteTable) -> bool:
        imported, excluded = self._list_patterns(listener, table.namespace)
        for host in table.hosts:
            if any(is_within(host, pattern) for pattern in excluded):
                continue
            if any(is_within(host, pattern) for pattern in imported):
                return True
            if not table.is_gateway_api and intersect_hosts([host], imported):
                return True  # a wildcard that an import is within
        return False

    def _list_patterns(
        self, listener: EgressListener, namespace: str | None
    ) -> tuple[list[str], list[str]]:
        """Return the hosts that a listener imports from a namespace (None: from any), and not."""
        patterns: tuple[list[str], list[str]] = ([], [])
        for entry in listener.imports:
            named = self.namespace if entry.namespace == "." else entry.namespace
            if namespace is None or named in ("*", namespace):
                patterns[entry.is_excluded].append(entry.host)
        return patterns
