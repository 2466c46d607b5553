"""Host without a service."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.documents.schema import find_closest_word
from meshproof.inventory import Inventory
from meshproof.inventory.index import namespace_of, shorten_host
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import list_destinations
from meshproof.rules.written import Reference

CODE = "MP0507"

#: Their services are hardly ever all in the files: there only a likely typo is reported.
_PLATFORM_NAMESPACES = ("istio-ingress", "istio-system", "kube-system")


def check(project: Project) -> Iterator[Hit]:
    """Report each destination that is no service's host, where services are known."""
    inventory = project.inventory
    if not _knows_hosts(inventory):
        return
    for reference, _, rule_namespace in list_mentioned_hosts(project):
        host = reference.full_name
        is_known = host.startswith("*") or inventory.has_host(host, rule_namespace)
        if is_known or find_host_elsewhere(inventory, reference):
            continue
        namespace = namespace_of(host)
        knows_namespace = (
            namespace in inventory.namespaces if namespace else _knows_hosts(inventory)
        )
        nearest_host = _find_nearest_host(inventory, reference)
        if knows_namespace and (nearest_host or namespace not in _PLATFORM_NAMESPACES):
            repair = nearest_host or _suggest_hosts(inventory, namespace)
            yield Hit(reference.at, f"no service has the host {host}", repair)


def list_mentioned_hosts(project: Project) -> Iterator[tuple[Reference, str, str]]:
    """Yield each host of a destination or DestinationRule with the rule's kind and namespace."""
    for table, _, destination in list_destinations(project):
        reference = Reference(destination.host, destination.source_text, destination.named_by)
        yield reference, table.dialect, table.document.namespace
    for rule in project.inventory.destination_rules:
        reference = Reference(rule.host, rule.source_text, rule.named_by)
        yield reference, "DestinationRule", rule.document.namespace


def find_host_elsewhere(inventory: Inventory, reference: Reference) -> str:
    """Return the full host of a service in another namespace that a name may mean, or "".

    Istio completes a short name with the rule's own namespace; it does not complete `reviews.prod`
    and `reviews.prod.svc` at all.
    """
    if "." in reference.source_text:
        full_host = f"{reference.source_text.removesuffix('.svc')}.{CLUSTER_DOMAIN}"
        is_service = full_host in inventory.service_names
        return full_host if is_service and full_host != reference.full_name else ""
    hosts = [
        f"{reference.source_text}.{namespace}.{CLUSTER_DOMAIN}"
        for namespace in sorted(inventory.namespaces)
    ]
    known_hosts = [host for host in hosts if host in inventory.service_names]
    is_clear = len(known_hosts) == 1 and reference.full_name not in known_hosts
    return known_hosts[0] if is_clear else ""


def _knows_hosts(inventory: Inventory) -> bool:
    """Say whether any service or ServiceEntry is among the documents."""
    return bool(inventory.service_entries or inventory.namespaces)


def _list_service_hosts(inventory: Inventory, namespace: str) -> list[str]:
    """Return the short hosts of the services of a namespace."""
    return sorted(
        shorten_host(host) for host in inventory.service_names if namespace_of(host) == namespace
    )


def _find_nearest_host(inventory: Inventory, reference: Reference) -> str:
    """Return the host that was probably meant, or ""."""
    namespace = namespace_of(reference.full_name)
    if reference.source_text.endswith(".svc"):
        return f"{reference.source_text}.cluster.local"
    if not namespace:
        return find_closest_word(reference.full_name, inventory.list_entry_hosts(), 0.75)
    nearest_host = find_closest_word(
        shorten_host(reference.full_name), _list_service_hosts(inventory, namespace)
    )
    if nearest_host and "." in reference.source_text:
        return f"{nearest_host}.{namespace}.{CLUSTER_DOMAIN}"
    return nearest_host


def _suggest_hosts(inventory: Inventory, namespace: str) -> str:
    hosts = _list_service_hosts(inventory, namespace)
    ellipsis = ", ..." if len(hosts) > 8 else ""
    return f"one of {', '.join(hosts[:8])}{ellipsis}" if hosts else "a ServiceEntry for it"
