"""Host without a service.

The rule sends to a host that no Service and no ServiceEntry here has. It is said only where the
files have Services of that namespace at all (or, for a name outside the cluster, ServiceEntries or
Services): otherwise they may be a part of what the cluster has.

Why: Envoy has no cluster for it. Every request of the arm gets 503; a DestinationRule for it has no
effect.

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 9080
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: review

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: reviews
    spec:
      ports:
      - name: http
        port: 9080
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata:
      name: reviews
    spec:
      hosts:
      - reviews
      http:
      - route:
        - destination:
            host: reviews
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.arms import Name
from meshproof.lint.finding import Hit, Level
from meshproof.lint.project import Project
from meshproof.lint.routes import targets
from meshproof.lint.schema import closest
from meshproof.lint.surroundings import Surroundings, namespace_of, short, surroundings
from meshproof.rules.model import CLUSTER_DOMAIN

CODE = "MP0507"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each destination that is no service's host, where services are known."""
    around = surroundings(project)
    for name in mentioned(project):
        if name.full.startswith("*") or around.exists(name.full) or elsewhere(around, name.full):
            continue
        namespace = namespace_of(name.full)
        known = namespace in around.namespaces if namespace else _outside(around)
        if known:
            yield Hit(name.at, f"no service has the host {name.full}", _meant(around, name))


def mentioned(project: Project) -> Iterator[Name]:
    """Yield every host that a rule sends to or that a DestinationRule is for."""
    for _, _, target in targets(project):
        yield Name(target.host, target.written, target.at)
    for policy in surroundings(project).policies:
        yield Name(policy.host, short(policy.host), policy.at)


def elsewhere(around: Surroundings, host: str) -> str:
    """Return the full host of the service that a name may mean in another namespace, or nothing.

    A short name is completed with the rule's own namespace, `reviews.prod` is not completed at all.
    """
    name = short(host)
    first, _, rest = host.partition(".")
    if rest and "." not in rest and f"{host}.{CLUSTER_DOMAIN}" in around.service_names:
        return f"{host}.{CLUSTER_DOMAIN}"
    if name == host or namespace_of(host) in ("", *_with(around, first)):
        return ""
    homes = _with(around, name)
    return f"{name}.{homes[0]}.{CLUSTER_DOMAIN}" if len(homes) == 1 else ""


def _with(around: Surroundings, name: str) -> list[str]:
    """Return the namespaces that have a service of this name."""
    return [
        one
        for one in sorted(around.namespaces)
        if f"{name}.{one}.{CLUSTER_DOMAIN}" in (around.service_names)
    ]


def _outside(around: Surroundings) -> bool:
    return bool(around.entries or around.namespaces)


def _meant(around: Surroundings, name: Name) -> str:
    namespace = namespace_of(name.full)
    if not namespace:
        meant = closest(name.full, around.entry_hosts(), 0.75)
        return meant or f"a ServiceEntry for {name.full}"
    there = [short(one) for one in around.service_names if namespace_of(one) == namespace]
    meant = closest(short(name.full), there)
    if meant:
        return meant if "." not in name.written else f"{meant}.{namespace}.{CLUSTER_DOMAIN}"
    return f"one of {', '.join(sorted(there)[:8])}" if there else ""
