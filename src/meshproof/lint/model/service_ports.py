"""The ports of Services, by the workloads that serve them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At
from meshproof.inventory.services import Service
from meshproof.inventory.workloads import Workload
from meshproof.lint.engine.project import Project
from meshproof.lint.model.routed_ports import PROTOCOLS

#: Pods with such a label (or annotation) have no proxy.
_INJECT_LABEL = "sidecar.istio.io/inject"


@dataclass(frozen=True, eq=False)
class ServedPort:
    """A port of a Service. `target_port` is a number or a name.

    `transport` is TCP, UDP or SCTP; `protocol` the declared one in lower case, empty if none.
    """

    service: str
    number: int
    target_port: str
    transport: str
    protocol: str
    at: At


@lru_cache(maxsize=2)
def read_served_ports(project: Project) -> tuple[tuple[Workload, tuple[ServedPort, ...]], ...]:
    """Return every workload with a proxy that Services select, with all their ports."""
    by_label: dict[tuple[str, tuple[str, str]], list[Service]] = {}
    for service in project.inventory.readable_services:
        if service.selector:
            index_key = service.document.namespace, service.selector[0]
            by_label.setdefault(index_key, []).append(service)
    ports = {
        id(service): _read_ports(service) for services in by_label.values() for service in services
    }
    return tuple(
        (workload, tuple(port for service in services for port in ports[id(service)]))
        for workload in project.inventory.workloads
        if (services := _find_services(workload, by_label))
    )


def _find_services(
    workload: Workload, by_label: dict[tuple[str, tuple[str, str]], list[Service]]
) -> list[Service]:
    """Return the Services that select a workload, none if it has no proxy."""
    if (_INJECT_LABEL, "false") in workload.pod_labels:
        return []
    namespace = workload.document.namespace
    candidates = [
        service for label in workload.pod_labels for service in by_label.get((namespace, label), ())
    ]
    return sorted(
        (service for service in candidates if workload.is_selected_by(service.selector)),
        key=lambda service: service.document.at,
    )


def _read_ports(service: Service) -> list[ServedPort]:
    """Return the ports of a Service."""
    served_ports = []
    for port in service.ports:
        declared = service.find_protocol(port.number)
        protocol = declared if declared in PROTOCOLS else ""
        served_ports.append(
            ServedPort(
                service.document.name,
                port.number,
                str(port.target),
                port.transport,
                protocol,
                port.value.at,
            )
        )
    return served_ports
