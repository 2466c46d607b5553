"""Port of a routed service that names no protocol."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.routed_ports import PROTOCOLS, find_routed_ports

CODE = "MP0512"


def check(project: Project) -> Iterator[Hit]:
    """Report each port that HTTP rules are for and that declares no known protocol."""
    for port in find_routed_ports(project):
        if port.protocol not in PROTOCOLS:
            name_text = f"is named '{port.name}'" if port.name else "has no name"
            yield Hit(
                port.at,
                f"port {port.number} of {port.host} {name_text}, which tells no protocol: Istio "
                f"guesses it for the rules of {port.rule}",
                f"name: http-{port.name}" if port.name else "name: http",
            )
