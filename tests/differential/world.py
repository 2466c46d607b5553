"""What every generated set of rules stands on: services, workloads, callers, and what they report.

It stays the same for a whole run, so that a set of rules is all that changes on both meshes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from meshproof.base.names import CLUSTER_DOMAIN, Labels
from meshproof.mesh.echo.listener import EchoBehaviour
from meshproof.mesh.echo.rule_mesh import Source
from meshproof.mesh.echo.workloads import EXTERNAL_NAMESPACE, EchoWorkload
from meshproof.mesh.istiod.objects import GATEWAY_NAME_LABEL
from meshproof.rules.model import Proxy

FRONT: Labels = (("app", "front"),)
#: Namespace and labels of each calling workload.
CALLERS: tuple[Source, ...] = (
    ("default", ()),
    ("default", FRONT),
    ("shop", ()),
    ("shop", FRONT),
    ("web", ()),
)


@dataclass(frozen=True)
class Service:
    """A service of the world: its namespace, ports and versions.

    One outside the cluster has its host for a name; sets that know it have a ServiceEntry for it.
    """

    name: str
    namespace: str
    ports: tuple[int, ...]
    versions: tuple[str, ...]

    @property
    def host(self) -> str:
        """The full name."""
        if self.namespace == EXTERNAL_NAMESPACE:
            return self.name
        return f"{self.name}.{self.namespace}.{CLUSTER_DOMAIN}"

    @property
    def echoes(self) -> Iterator[EchoWorkload]:
        """The workloads, one for each version."""
        for version in self.versions:
            labels = (("app", self.name), ("version", version))
            name = f"{self.name}.{self.namespace}.{version}"
            yield EchoWorkload(name, self.host, labels, (self.host,))


SERVICES = (
    Service("cart", "shop", (80, 8080), ("v1", "v2", "v3")),
    Service("pay", "shop", (80,), ("v1", "v2")),
    Service("news", "web", (80, 8080), ("v1", "v2")),
    Service("reviews", "default", (80,), ("v1", "v2")),
)
OUTSIDE = Service("api.partner.test", EXTERNAL_NAMESPACE, (80, 8080), ("v1", "v2"))
#: The one Gateway of Gateway API, and its proxy.
ENTRY = "shop/entry"
ENTRY_PROXY = Proxy(ENTRY, "shop", ((GATEWAY_NAME_LABEL, "entry"),))
ECHOES = tuple(echo for service in (*SERVICES, OUTSIDE) for echo in service.echoes)
#: Headers that workloads report: those that rules change, and those by which a proxy tells a limit.
REPORTED_HEADERS = (
    *("x-a", "x-b", "x-user", "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms"),
    *("x-envoy-original-path", "x-envoy-original-host", "x-forwarded-host"),
)
#: Headers that workloads answer with if a request says so.
ANSWERED_HEADERS = ("x-c", "x-d")
_FAILURES = tuple(
    f"{kind} x{count}"
    for kind, count in itertools.product(
        ("500", "502", "503", "504", "409", *(f"gRPC {status}" for status in (1, 4, 8, 13, 14))),
        (1, 2, 3, 4),
    )
)
BEHAVIOUR = EchoBehaviour(REPORTED_HEADERS, ANSWERED_HEADERS, _FAILURES)


def describe_world() -> str:
    """Return the YAML of all services and workloads."""
    return "".join(map(_describe_service, SERVICES))


def _describe_service(service: Service) -> str:
    """Return the YAML of a service and its workloads."""
    name, namespace = service.name, service.namespace
    ports = ", ".join(f"{{name: http-{port}, port: {port}}}" for port in service.ports)
    text = (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{selector: {{app: {name}}}, ports: [{ports}]}}\n---\n"
    )
    for version in service.versions:
        labels = f"{{app: {name}, version: {version}}}"
        text += (
            "apiVersion: apps/v1\nkind: Deployment\n"
            f"metadata: {{name: {name}-{version}, namespace: {namespace}}}\n"
            f"spec: {{selector: {{matchLabels: {labels}}}, template: {{metadata: {{labels: "
            f"{labels}}}, spec: {{containers: [{{name: app, image: echo}}]}}}}}}\n---\n"
        )
    return text
