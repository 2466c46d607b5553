"""TCP port of a ServiceEntry without an address."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_api_group
from meshproof.documents.manifest import Value
from meshproof.inventory.gateways import ISTIO_GROUP
from meshproof.inventory.service_entries import ServiceEntry
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0520"


def check(project: Project) -> Iterator[Hit]:
    """Report each TCP port of a ServiceEntry that has no address."""
    for entry in project.inventory.service_entries:
        document = entry.document
        if read_api_group(document) != ISTIO_GROUP or _has_address(entry):
            continue
        for port in entry.ports:
            checked_paths = (port.value.path, f"{port.value.path}.protocol")
            if any(project.has_defect_at(document, path) for path in checked_paths):
                continue
            if port.protocol in ("", "TCP"):
                problem = "is TCP" if port.protocol else "names no protocol, which is TCP"
                yield Hit(
                    port.value.at,
                    f"port {_format_number(port.value.mapping())} {problem}, and ServiceEntry "
                    f"'{document.name}' has no addresses",
                    "addresses: [the host's virtual address], or protocol: TLS where it is TLS",
                )


def _has_address(entry: ServiceEntry) -> bool:
    """Say whether the entry has an address, or Istio gave it one (status of a live object)."""
    return bool(entry.addresses) or bool(find_values(entry.document.root, "status", "addresses"))


def _format_number(content: dict[str, Value]) -> str:
    number = content.get("number")
    return str(number.content) if number is not None else "without number"
