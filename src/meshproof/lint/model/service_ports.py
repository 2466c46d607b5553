"""The ports of services as the workloads behind them see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from meshproof.documents.manifest import At
from meshproof.lint.engine.project import Project, ServiceObject, Workload, text
from meshproof.lint.model.http_ports import PROTOCOLS
from meshproof.lint.model.inventory import speaks_http

#: Pods with such a label (or annotation) have no proxy.
_INJECT = "sidecar.istio.io/inject"


@dataclass(frozen=True, eq=False)
class ServedPort:
    """A port of a service: its number, where it leads (a number or a name), and what it speaks.

    `transport` is TCP, UDP or SCTP; `speaks` the protocol that it declares, lower case, or empty.
    """

    service: str
    number: int
    target: str
    transport: str
    speaks: str
    at: At


@lru_cache(maxsize=2)
def served(project: Project) -> tuple[tuple[Workload, tuple[ServedPort, ...]], ...]:
    """Return every workload with a proxy that services select, with the ports of all of these."""
    by_label: dict[tuple[str, tuple[str, str]], list[ServiceObject]] = {}
    for service in project.services:
        if service.selector:
            filed = service.document.namespace, service.selector[0]
            by_label.setdefault(filed, []).append(service)
    ports = {id(one): _ports(one) for found in by_label.values() for one in found}
    return tuple(
        (workload, tuple(port for one in services for port in ports[id(one)]))
        for workload in project.workloads
        if (services := _services(workload, by_label))
    )


def _services(
    workload: Workload, by_label: dict[tuple[str, tuple[str, str]], list[ServiceObject]]
) -> list[ServiceObject]:
    if (_INJECT, "false") in workload.pod_labels:
        return []
    namespace = workload.document.namespace
    found = [one for pair in workload.pod_labels for one in by_label.get((namespace, pair), ())]
    return sorted(
        (one for one in found if workload.selected(one.selector)), key=lambda one: one.document.at
    )


def _ports(service: ServiceObject) -> list[ServedPort]:
    found = []
    for port in service.ports:
        content = port.value.mapping()
        target, transport = content.get("targetPort"), text(content.get("protocol"))
        leads = str(target.content) if target is not None and target.content else str(port.number)
        said = speaks_http(service, port.number)
        speaks = said if said in PROTOCOLS else ""
        found.append(
            ServedPort(
                service.document.name, port.number, leads, transport or "TCP", speaks, port.value.at
            )
        )
    return found
