"""TCP port of a ServiceEntry without an address."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0520"


def check(project: Project) -> Iterator[Hit]:
    """Report each TCP port of a ServiceEntry that has no address."""
    for document in project.named_documents("ServiceEntry", group="networking.istio.io"):
        if _has_address(document):
            continue
        for port in find_values(read_spec(document), "ports"):
            checked_paths = (port.path, f"{port.path}.protocol")
            if not isinstance(port.content, dict) or any(
                project.has_defect_at(document, path) for path in checked_paths
            ):
                continue
            protocol = read_text(port.content.get("protocol"))
            if protocol.upper() in ("", "TCP"):
                problem = "is TCP" if protocol else "names no protocol, which is TCP"
                yield Hit(
                    port.at,
                    f"port {_format_number(port.content)} {problem}, and ServiceEntry "
                    f"'{document.name}' has no addresses",
                    "addresses: [the host's virtual address], or protocol: TLS where it is TLS",
                )


def _has_address(document: Document) -> bool:
    """Say whether the entry has an address, or Istio gave it one (status of a live object)."""
    return bool(find_values(read_spec(document), "addresses")) or bool(
        find_values(document.root, "status", "addresses")
    )


def _format_number(content: dict[str, Value]) -> str:
    number = content.get("number")
    return str(number.content) if number is not None else "without number"
