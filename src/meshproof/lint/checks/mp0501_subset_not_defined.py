"""Subset that its DestinationRule does not define.

The rule sends requests to a subset; the DestinationRule of that host is here and has no subset of
that name.

Why: there is no such cluster in Envoy. Every request of the route is answered with 503, also where
only a part of a split goes there.

Bad::

    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata:
      name: reviews
    spec:
      host: reviews
      subsets:
      - name: v2
        labels:
          version: v2
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
from meshproof.lint.model.inventory import surroundings
from meshproof.lint.model.route import near
from meshproof.lint.model.route_tables import targets

CODE = "MP0501"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report each subset that the DestinationRules of its host do not have."""
    around = surroundings(project)
    for _, _, target in targets(project):
        policies = around.of_host(target.host)
        wanted = text(target.subset)
        if target.subset is None or not wanted or not policies:
            continue
        known = [one.name for policy in policies for one in policy.subsets]
        if wanted in known or not all(policy.whole for policy in policies):
            continue
        first = policies[0]
        has = f"has {', '.join(known)}" if known else "has no subsets"
        yield Hit(
            target.subset.at,
            f"{target.written} has no subset '{wanted}': DestinationRule '{first.document.name}' "
            f"({near(first.at, target.subset.at)}) {has}",
            closest(wanted, known) or f"add it to the subsets of '{first.document.name}'",
        )
