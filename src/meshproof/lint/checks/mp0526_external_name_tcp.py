"""ExternalName service with a TCP port."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.routed_ports import PROTOCOLS

CODE = "MP0526"


def check(project: Project) -> Iterator[Hit]:
    """Report each port of an ExternalName service that is TCP, or declares no protocol."""
    for service in project.inventory.readable_services:
        if service.type != "ExternalName":
            continue
        for port in service.ports:
            protocol = service.find_protocol(port.number)
            if protocol == "tcp" or protocol not in PROTOCOLS:
                description = f"named '{port.name}'" if port.name else "without a name"
                name = f"ExternalName service '{service.document.name}'"
                yield Hit(
                    port.value.at,
                    f"port {port.number} of {name} is {description}, which is TCP for Istio",
                    "name: http, name: https or name: tls, whichever it is",
                )
