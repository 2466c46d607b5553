"""ServiceEntries at odds on a protocol."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.inventory import ServiceEntry, read_inventory

CODE = "MP0521"


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
