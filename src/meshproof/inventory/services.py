"""Reads Services: their ports, and the labels of the pods that they select.

Source: Kubernetes API reference, Service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.base.names import CLUSTER_DOMAIN, Labels, sort_labels
from meshproof.documents.lookup import read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.inventory.problems import Problems, raise_first_problem

KIND = "Service"
_MAX_PORT = 65535
#: Protocols of Istio that are not HTTP (pkg/config/protocol).
_OTHER_PROTOCOLS = ("https", "hbone", "mongo", "mysql", "redis", "tcp", "tls", "udp")


@dataclass(frozen=True, eq=False)
class ServicePort:
    """A port of a Service: 1 to 65535, and the number or name of the pods' port.

    `transport` is TCP, UDP or SCTP. `name` and `app_protocol` are empty if not set. `value` is the
    port in the file.
    """

    number: int
    name: str
    app_protocol: str
    target: int | str
    transport: str
    value: Value


@dataclass(frozen=True, eq=False)
class Service:
    """A Service with its ports and selector, () without one; what could be read of them.

    `type` is as written (`ExternalName`), empty if not set.
    """

    document: Document
    ports: tuple[ServicePort, ...]
    selector: Labels
    type: str = ""
    problems: tuple[BadRules, ...] = ()

    @property
    def host(self) -> str:
        """Full name in the cluster."""
        return f"{self.document.name}.{self.document.namespace}.{CLUSTER_DOMAIN}"

    @property
    def http_ports(self) -> tuple[int, ...]:
        """The numbers of the ports that may be HTTP: those that declare nothing else.

        istiod makes no HTTP routes for the others, and looks at the traffic of undeclared ones.
        """
        return tuple(
            sorted(
                {
                    port.number
                    for port in self.ports
                    if port.transport == "TCP"
                    and self.find_protocol(port.number) not in _OTHER_PROTOCOLS
                }
            )
        )

    def find_protocol(self, number: int) -> str:
        """Return the protocol that a port declares in lower case, empty if none.

        Istio reads appProtocol first, then the port's name up to the first `-`.
        """
        for port in self.ports:
            if port.number == number:
                declared = port.app_protocol or port.name
                declared = declared.lower().removeprefix("kubernetes.io/")
                is_grpc_web = declared.startswith("grpc-web")
                protocol = "grpc-web" if is_grpc_web else declared.partition("-")[0]
                return {"h2c": "http2", "ws": "http", "wss": "https"}.get(protocol, protocol)
        return ""


def read_services(documents: Iterable[Document]) -> tuple[Service, ...]:
    """Return the Services of documents of that kind. Each has its problems instead of raising."""
    return tuple(map(_read_service, documents))


def read_selectors(documents: Iterable[Document]) -> dict[str, Labels]:
    """Return the labels that Services select, by full host; () without a selector.

    `documents` are of that kind. Raises BadRules with file and line for one that is wrong.
    """
    services = read_services(documents)
    raise_first_problem(services)
    return {service.host: service.selector for service in services}


def _read_service(document: Document) -> Service:
    problems = Problems()
    ports: list[ServicePort] = []
    selector: Labels = ()
    with problems:
        _ = document.name, document.namespace
        selector_value = document.spec.get("selector")
        selector = sort_labels(selector_value.text_mapping()) if selector_value else ()
    with problems:
        if not _may_lack_ports(document.spec):
            document.spec.need("ports")
        for port in document.spec.entries("ports"):
            with problems:
                ports.append(_read_port(port))
    spec = read_spec(document)
    service_type = read_text(spec.mapping().get("type")) if spec is not None else ""
    return Service(document, tuple(ports), selector, service_type, tuple(problems))


def _may_lack_ports(spec: Value) -> bool:
    """Say whether a Service is valid without ports: a headless one, or another name of a host."""
    content = spec.mapping()
    is_headless = read_text(content.get("clusterIP")) == "None"
    return is_headless or read_text(content.get("type")) == "ExternalName"


def _read_port(port: Value) -> ServicePort:
    number = port.need("port").integer(1, _MAX_PORT)
    target = port.get("targetPort")
    return ServicePort(
        number,
        read_text(port.get("name")),
        read_text(port.get("appProtocol")),
        number if target is None else _read_target(target),
        read_text(port.get("protocol")) or "TCP",
        port,
    )


def _read_target(target: Value) -> int | str:
    """Return a targetPort, as a number or as a name."""
    return target.text() if isinstance(target.content, str) else target.integer(1, _MAX_PORT)
