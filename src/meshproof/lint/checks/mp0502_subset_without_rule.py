"""Subset without a DestinationRule.

The rule sends requests to a subset of a host, and none of the files has a DestinationRule for that
host, although they have DestinationRules for others, or the service itself.

Why: subsets exist only in DestinationRules. Without one, every request of the route gets 503. A
DestinationRule for the short name in another namespace is one for another host.

Bad::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: review
    spec:
      host: review
      subsets:
      - name: v3
        labels:
          version: v3
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
            subset: v3

Good::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
      subsets:
      - name: v3
        labels:
          version: v3
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
            subset: v3
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.schema import closest
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, text
from meshproof.lint.model.inventory import Policy, namespace_of, short, surroundings
from meshproof.lint.model.route_tables import targets

CODE = "MP0502"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each subset of a host that has no DestinationRule among those that are here."""
    around = surroundings(project)
    for _, _, target in targets(project):
        if target.subset is None or around.of_host(target.host) or not text(target.subset):
            continue
        if around.policies or target.host in around.service_names:
            yield Hit(
                target.subset.at,
                f"subset '{text(target.subset)}' of {target.host}: no DestinationRule is for that "
                "host",
                _repair(target.host, around.policies),
            )


def _repair(host: str, policies: list[Policy]) -> str:
    for policy in policies:
        if short(policy.host) == short(host) and namespace_of(policy.host) != namespace_of(host):
            return f"host: {host} in DestinationRule '{policy.document.name}' ({policy.at})"
    meant = closest(host, [policy.host for policy in policies], 0.85)
    if meant:
        return f"or is it the host of the DestinationRule for {short(meant)}?"
    return f"a DestinationRule with host: {short(host)} and this subset"
