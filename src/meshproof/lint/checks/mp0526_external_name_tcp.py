"""ExternalName service with a TCP port.

A service of type ExternalName has a port whose name (or appProtocol) says `tcp`, or no protocol.

Why: such a service has no address of its own. For TCP, Istio then listens on that port for all
addresses: whatever leaves for that port, for whomever, goes to this host (Istio's message IST0150).

Bad::

    apiVersion: v1
    kind: Service
    metadata:
      name: payments
    spec:
      type: ExternalName
      externalName: api.example.com
      ports:
      - name: tcp
        port: 443
        targetPort: 443

Good::

    apiVersion: v1
    kind: Service
    metadata:
      name: payments
    spec:
      type: ExternalName
      externalName: api.example.com
      ports:
      - name: https
        port: 443
        targetPort: 443
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text
from meshproof.lint.model.inventory import read_protocol
from meshproof.lint.model.routed_ports import PROTOCOLS

CODE = "MP0526"
LEVEL = Level.WARNING


def check(project: Project) -> Iterator[Hit]:
    """Report each port of an ExternalName service that is TCP, or says nothing."""
    for service in project.services:
        if [read_text(one) for one in find_values(read_spec(service.document), "type")] != ["ExternalName"]:
            continue
        for port in service.ports:
            spoken = read_protocol(service, port.number)
            if spoken == "tcp" or spoken not in PROTOCOLS:
                said = f"named '{port.name}'" if port.name else "without a name"
                name = f"ExternalName service '{service.document.name}'"
                yield Hit(
                    port.value.at,
                    f"port {port.number} of {name} is {said}, which is TCP for Istio",
                    "name: http, name: https or name: tls, whichever it is",
                )
