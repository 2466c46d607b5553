"""ServiceEntries at odds on a protocol."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.inventory.service_entries import ServiceEntry
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0521"


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two ServiceEntries with one host and port and two protocols."""
    entries_by_port: dict[tuple[str, int], list[tuple[ServiceEntry, str]]] = {}
    for entry in project.inventory.service_entries:
        for port in entry.ports:
            number, protocol = port.number, port.protocol
            for host in entry.hosts:
                earlier_entries = entries_by_port.setdefault((host, number), [])
                for earlier_entry, earlier_protocol in earlier_entries if number else ():
                    if earlier_protocol != protocol and _share_namespace(entry, earlier_entry):
                        yield Hit(
                            port.value.at,
                            f"port {number} of {host} is {protocol or 'without protocol'} here and "
                            f"{earlier_protocol or 'without protocol'} in ServiceEntry "
                            f"'{earlier_entry.document.namespace}/{earlier_entry.document.name}' "
                            f"({earlier_entry.document.at})",
                            "one protocol in both, or one entry for both",
                        )
                        break
                earlier_entries.append((entry, protocol))


def _share_namespace(first_entry: ServiceEntry, second_entry: ServiceEntry) -> bool:
    """Say whether some namespace sees both entries; all see one with an empty `export_to`."""
    first_namespaces = first_entry.export_to or {"*"}
    second_namespaces = second_entry.export_to or {"*"}
    if "*" in first_namespaces or "*" in second_namespaces:
        return True
    return not first_namespaces.isdisjoint(second_namespaces)
