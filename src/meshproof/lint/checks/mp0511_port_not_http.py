"""Port of a routed service that is not HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.routed_ports import find_routed_ports

CODE = "MP0511"

_OTHER_PROTOCOLS = ("mongo", "mysql", "redis", "tcp", "tls", "udp")


def check(project: Project) -> Iterator[Hit]:
    """Report each port that HTTP rules are for and that is declared as something else."""
    for port in find_routed_ports(project):
        if port.protocol in _OTHER_PROTOCOLS:
            yield Hit(
                port.at,
                f"{port.declaration or 'its protocol'} makes port {port.number} of {port.host} "
                f"{port.protocol.upper()}: the HTTP rules of {port.rule} have no effect",
                f"name: http-{port.name.partition('-')[2] or port.name}",
            )
