"""What is in the mesh: services and pods, read from Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meshproof.errors import BadRules
from meshproof.manifest import At, Document, Value
from meshproof.rules.model import CLUSTER_DOMAIN, Labels, labels

#: Kinds that a cluster needs and the local mesh has no use for.
_PASSED_OVER = ("Namespace", "ServiceAccount")


@dataclass(frozen=True)
class Pod:
    """One replica of a workload: where it came from, what it runs and who it is in the mesh."""

    name: str
    workload: str
    namespace: str
    labels: Labels
    service_account: str
    image: str
    env: Mapping[str, str]
    port: int
    readiness: str | None
    at: At

    @property
    def version(self) -> str:
        """Value of the label `version`, or an empty string."""
        return dict(self.labels).get("version", "")

    def selected(self, selector: Labels) -> bool:
        """Say whether every label of `selector` is on this pod."""
        return set(selector) <= set(self.labels)


@dataclass(frozen=True)
class Service:
    """A Kubernetes Service: its ports are port number -> target port of the pods."""

    name: str
    namespace: str
    selector: Labels
    ports: Mapping[int, int]
    at: At

    @property
    def host(self) -> str:
        """Full name in the cluster."""
        return f"{self.name}.{self.namespace}.{CLUSTER_DOMAIN}"

    def names_from(self, namespace: str) -> list[str]:
        """Return every name by which a pod in `namespace` may call the service."""
        qualified = f"{self.name}.{self.namespace}"
        short = [self.name] if namespace == self.namespace else []
        return [*short, qualified, f"{qualified}.svc", self.host]


@dataclass(frozen=True)
class Topology:
    """All services and pods."""

    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = field(default=())

    def __add__(self, other: Topology) -> Topology:
        return Topology(self.services + other.services, self.pods + other.pods)

    def behind(self, service: Service, subset: Labels = ()) -> list[Pod]:
        """Return the pods that a service selects, narrowed to a subset's labels."""
        return [
            pod
            for pod in self.pods
            if pod.namespace == service.namespace
            and pod.selected(service.selector)
            and pod.selected(subset)
        ]


def read(documents: Iterable[Document]) -> Topology:
    """Return the services and pods in `documents`.

    Raises BadRules with file and line for a kind that the local mesh cannot stand up, a workload of
    several containers or ports, and a service without pods.
    """
    services: list[Service] = []
    pods: list[Pod] = []
    for document in documents:
        if document.kind == "Service":
            services.append(_service(document))
        elif document.kind == "Deployment" and document.api_version == "apps/v1":
            pods.extend(_pods(document))
        elif document.kind not in _PASSED_OVER:
            raise BadRules(
                f"{document.at}: {document.kind} of {document.api_version} is not an object that "
                "the local mesh can stand up (it takes Service and Deployment of apps/v1)"
            )
    topology = Topology(tuple(services), tuple(pods))
    for service in services:
        if not topology.behind(service):
            raise BadRules(f"{service.at}: service {service.name} selects no pod")
    return topology


def _service(document: Document) -> Service:
    spec = document.spec
    ports: dict[int, int] = {}
    for port in spec.need("ports").items():
        number, target = port.need("port").integer(1, 65535), port.get("targetPort")
        ports[number] = target.integer(1, 65535) if target else number
    return Service(
        name=document.name,
        namespace=document.namespace,
        selector=labels(spec.need("selector").texts()),
        ports=ports,
        at=document.at,
    )


def _pods(document: Document) -> list[Pod]:
    spec = document.spec
    template = spec.need("template")
    pod_labels = labels(template.need("metadata").need("labels").texts())
    _check_selector(spec, pod_labels)
    pod_spec = template.need("spec")
    account, count = pod_spec.get("serviceAccountName"), spec.get("replicas")
    container = _only(pod_spec.need("containers"), "container")
    port = _only(container.need("ports"), "port of a container")
    image = container.need("image")
    pods = []
    for index in range(count.integer(0, 100) if count else 1):
        pods.append(
            Pod(
                name=f"{document.name}-{index}",
                workload=document.name,
                namespace=document.namespace,
                labels=pod_labels,
                service_account=account.text() if account else "default",
                image=image.text(),
                env=_env(container),
                port=port.need("containerPort").integer(1, 65535),
                readiness=_readiness(container),
                at=image.at,
            )
        )
    return pods


def _check_selector(spec: Value, pod_labels: Labels) -> None:
    selector = spec.need("selector").need("matchLabels")
    if not set(labels(selector.texts())) <= set(pod_labels):
        raise BadRules(f"{selector.at}: spec.selector does not match the labels of the template")


def _only(values: Value, what: str) -> Value:
    found = values.items()
    if len(found) != 1:
        raise BadRules(f"{values.at}: {values.path}: the local mesh takes exactly one {what}")
    return found[0]


def _env(container: Value) -> dict[str, str]:
    found = container.get("env")
    env: dict[str, str] = {}
    for entry in found.items() if found else []:
        entry.allow("name", "value", unsupported=("valueFrom",))
        value = entry.get("value")
        env[entry.need("name").text()] = value.text() if value else ""
    return env


def _readiness(container: Value) -> str | None:
    probe = container.get("readinessProbe")
    request = probe.get("httpGet") if probe else None
    return request.need("path").text() if request else None
