"""ServiceEntries at odds on a protocol.

Two ServiceEntries that are seen from one namespace have the same host and port number, each with
another protocol.

Why: Istio takes one of the two, for all who see both: rules for HTTP are then without effect, or
plain TCP is read as HTTP and refused. Which one is taken depends on their age.

Bad::

    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata:
      name: payments
      namespace: shop
    spec:
      hosts:
      - api.example.com
      ports:
      - number: 443
        name: tls
        protocol: TLS
      resolution: DNS
    ---
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata:
      name: payments
      namespace: billing
    spec:
      hosts:
      - api.example.com
      ports:
      - number: 443
        name: http
        protocol: HTTP
      resolution: DNS

Good::

    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata:
      name: payments
      namespace: shop
    spec:
      hosts:
      - api.example.com
      ports:
      - number: 443
        name: tls
        protocol: TLS
      resolution: DNS
    ---
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata:
      name: payments
      namespace: billing
    spec:
      hosts:
      - api.example.com
      ports:
      - number: 443
        name: tls
        protocol: TLS
      resolution: DNS
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import ServiceEntry, read_inventory

CODE = "MP0521"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two ServiceEntries with one host and port and two protocols."""
    seen: dict[tuple[str, int], list[tuple[ServiceEntry, str]]] = {}
    for entry in read_inventory(project).service_entries:
        for number, protocol, _, at in entry.ports:
            for host in entry.hosts:
                earlier = seen.setdefault((host, number), [])
                for other, first in earlier if number else ():
                    if first != protocol and _meet(entry, other):
                        yield Hit(
                            at,
                            f"port {number} of {host} is {protocol or 'without protocol'} here and "
                            f"{first or 'without protocol'} in ServiceEntry "
                            f"'{other.document.namespace}/{other.document.name}' "
                            f"({other.document.at})",
                            "one protocol in both, or one entry for both",
                        )
                        break
                earlier.append((entry, protocol))


def _meet(one: ServiceEntry, other: ServiceEntry) -> bool:
    """Say whether some namespace sees both; an empty `export_to` is seen by all."""
    first, second = one.export_to or {"*"}, other.export_to or {"*"}
    return "*" in first or "*" in second or not first.isdisjoint(second)
