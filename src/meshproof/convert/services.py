"""The services that legacy rules name, and how converted objects write their hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from meshproof.base.names import CLUSTER_DOMAIN, qualify_host
from meshproof.documents.manifest import Value


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

    Source: IstioService in routing/v1alpha1/route_rule.proto. Raises BadRules for a missing or
    empty name.
    """
    full_value, namespace_value, domain_value = (
        value.get(key) for key in ("service", "namespace", "domain")
    )
    for field_value in (full_value, namespace_value, domain_value, value.get("name")):
        if field_value is not None:
            field_value.non_empty_text()
    if full_value is not None:
        return build_service(qualify_host(full_value.text(), namespace))
    name = value.need("name").text()
    service_namespace = namespace_value.text() if namespace_value else namespace
    return build_service(
        f"{name}.{service_namespace}.{domain_value.text() if domain_value else CLUSTER_DOMAIN}"
    )


def build_service(host: str) -> Service:
    """Return the service of a full host name."""
    parts = host.removesuffix(f".{CLUSTER_DOMAIN}").split(".")
    is_in_cluster = host.endswith(f".{CLUSTER_DOMAIN}") and len(parts) == 2
    return Service(host, parts[1] if is_in_cluster else "")
