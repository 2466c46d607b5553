"""The ports of services as the workloads behind them see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At
from meshproof.lint.engine.project import Project, ServiceObject, Workload, read_text
from meshproof.lint.model.inventory import read_protocol
from meshproof.lint.model.routed_ports import PROTOCOLS

#: Pods with such a label (or annotation) have no proxy.
_INJECT_LABEL = "sidecar.istio.io/inject"


@dataclass(frozen=True, eq=False)
class ServedPort:
    """A port of a service: its number, where it leads (a number or a name), and what it speaks.

    `transport` is TCP, UDP or SCTP; `speaks` the protocol that it declares, lower case, or empty.
    """

    service: str
    number: int
    target_port: str
    transport: str
    protocol: str
    at: At


@lru_cache(maxsize=2)
def read_served_ports(project: Project) -> tuple[tuple[Workload, tuple[ServedPort, ...]], ...]:
    """Return every workload with a proxy that services select, with the ports of all of these."""
    by_label: dict[tuple[str, tuple[str, str]], list[ServiceObject]] = {}
    for service in project.services:
        if service.selector:
            filed = service.document.namespace, service.selector[0]
            by_label.setdefault(filed, []).append(service)
    ports = {id(one): _read_ports(one) for found in by_label.values() for one in found}
    return tuple(
        (workload, tuple(port for one in services for port in ports[id(one)]))
        for workload in project.workloads
        if (services := _find_services(workload, by_label))
    )


def _find_services(
    workload: Workload, by_label: dict[tuple[str, tuple[str, str]], list[ServiceObject]]
) -> list[ServiceObject]:
    if (_INJECT_LABEL, "false") in workload.pod_labels:
        return []
    namespace = workload.document.namespace
    found = [one for pair in workload.pod_labels for one in by_label.get((namespace, pair), ())]
    return sorted(
        (one for one in found if workload.is_selected_by(one.selector)),
        key=lambda one: one.document.at,
    )


def _read_ports(service: ServiceObject) -> list[ServedPort]:
    found = []
    for port in service.ports:
        content = port.value.mapping()
        target, transport = content.get("targetPort"), read_text(content.get("protocol"))
        leads = str(target.content) if target is not None and target.content else str(port.number)
        said = read_protocol(service, port.number)
        speaks = said if said in PROTOCOLS else ""
        found.append(
            ServedPort(
                service.document.name, port.number, leads, transport or "TCP", speaks, port.value.at
            )
        )
    return found
