"""The services that legacy rules name, and how converted objects write their hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.documents.manifest import Value
from meshproof.rules.legacy.route_rule import read_service_host


@dataclass(frozen=True)
class Service:
    """A service that a rule names: its full host, and its namespace if it is in the cluster."""

    host: str
    namespace: str = ""

    @property
    def name(self) -> str:
        """Its own name; for an external host a name for objects about it."""
        if self.namespace:
            return self.host.partition(".")[0]
        return re.sub(r"[^a-z0-9.]+", "-", self.host.replace("*", "all").lower()).strip("-.")

    def host_within(self, namespace: str) -> str:
        """Return the host as an object in `namespace` writes it: short in the same namespace."""
        is_local = self.namespace == namespace and self.namespace
        return self.name if is_local else self.host


def read_service(value: Value, namespace: str) -> Service:
    """Return the service that an IstioService of a rule in `namespace` names.

    Raises BadRules for a missing or empty name.
    """
    return build_service(read_service_host(value, namespace))


def build_service(host: str) -> Service:
    """Return the service of a full host name."""
    parts = host.removesuffix(f".{CLUSTER_DOMAIN}").split(".")
    is_in_cluster = host.endswith(f".{CLUSTER_DOMAIN}") and len(parts) == 2
    return Service(host, parts[1] if is_in_cluster else "")
