"""Host without a service."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import CLUSTER_DOMAIN
from meshproof.documents.schema import find_closest_word
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import Inventory, namespace_of, read_inventory, shorten_host
from meshproof.lint.model.route import Reference
from meshproof.lint.model.route_tables import list_destinations

CODE = "MP0507"

#: Namespaces that no one's files hold the whole of: there only what looks like a typo is said.
_OF_THE_PLATFORM = ("istio-ingress", "istio-system", "kube-system")


def check(project: Project) -> Iterator[Hit]:
    """Report each destination that is no service's host, where services are known."""
    around = read_inventory(project)
    if not _outside(around):
        return
    for name, _, owner in mentioned(project):
        there = name.full_name.startswith("*") or around.has_host(name.full_name, owner)
        if there or elsewhere(around, name):
            continue
        namespace = namespace_of(name.full_name)
        known = namespace in around.namespaces if namespace else _outside(around)
        meant = _meant(around, name)
        if known and (meant or namespace not in _OF_THE_PLATFORM):
            repair = meant or _all_of(around, namespace)
            yield Hit(name.at, f"no service has the host {name.full_name}", repair)


def mentioned(project: Project) -> Iterator[tuple[Reference, str, str]]:
    """Yield every host that a rule sends to or a DestinationRule is for, its kind and namespace."""
    for route, _, target in list_destinations(project):
        name = Reference(target.host, target.source_text, target.at)
        yield name, route.dialect, route.document.namespace
    for policy in read_inventory(project).destination_rules:
        name = Reference(policy.host, policy.source_text, policy.at)
        yield name, "DestinationRule", policy.document.namespace


def elsewhere(around: Inventory, name: Reference) -> str:
    """Return the full host of the service that a name may mean in another place, or nothing.

    A short name is completed with the rule's own namespace; `reviews.prod` and `reviews.prod.svc`
    are not completed at all.
    """
    if "." in name.source_text:
        full = f"{name.source_text.removesuffix('.svc')}.{CLUSTER_DOMAIN}"
        return full if full in around.service_names and full != name.full_name else ""
    hosts = [f"{name.source_text}.{one}.{CLUSTER_DOMAIN}" for one in sorted(around.namespaces)]
    there = [host for host in hosts if host in around.service_names]
    return there[0] if len(there) == 1 and name.full_name not in there else ""


def _outside(around: Inventory) -> bool:
    return bool(around.service_entries or around.namespaces)


def _there(around: Inventory, namespace: str) -> list[str]:
    return sorted(
        shorten_host(one) for one in around.service_names if namespace_of(one) == namespace
    )


def _meant(around: Inventory, name: Reference) -> str:
    """Return the host that was probably meant."""
    namespace = namespace_of(name.full_name)
    if name.source_text.endswith(".svc"):
        return f"{name.source_text}.cluster.local"
    if not namespace:
        return find_closest_word(name.full_name, around.list_entry_hosts(), 0.75)
    meant = find_closest_word(shorten_host(name.full_name), _there(around, namespace))
    return f"{meant}.{namespace}.{CLUSTER_DOMAIN}" if meant and "." in name.source_text else meant


def _all_of(around: Inventory, namespace: str) -> str:
    there = _there(around, namespace)
    more = ", ..." if len(there) > 8 else ""
    return f"one of {', '.join(there[:8])}{more}" if there else "a ServiceEntry for it"
