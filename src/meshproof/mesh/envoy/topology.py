"""What is in the mesh: services and pods, read from Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from meshproof.base.names import CLUSTER_DOMAIN, Labels, labels
from meshproof.documents.manifest import At, Document, Value

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
    port_name: str = ""

    @property
    def version(self) -> str:
        """Value of the label `version`, or an empty string."""
        return dict(self.labels).get("version", "")

    def selected(self, selector: Labels) -> bool:
        """Say whether every label of `selector` is on this pod."""
        return set(selector) <= set(self.labels)


@dataclass(frozen=True)
class Service:
    """A Kubernetes Service: its ports are port number -> the pods' port, by number or name.

    One that is `outside` is no part of the cluster: its name is its host (a ServiceEntry's).
    """

    name: str
    namespace: str
    selector: Labels
    ports: Mapping[int, int | str]
    at: At
    outside: bool = False

    @property
    def host(self) -> str:
        """Full name in the cluster; outside of it, the name alone."""
        if self.outside:
            return self.name
        return f"{self.name}.{self.namespace}.{CLUSTER_DOMAIN}"

    def names_from(self, namespace: str) -> list[str]:
        """Return every name by which a pod in `namespace` may call the service."""
        if self.outside:
            return [self.name]
        qualified = f"{self.name}.{self.namespace}"
        short = [self.name] if namespace == self.namespace else []
        return [*short, qualified, f"{qualified}.svc", self.host]


@dataclass(frozen=True)
class Topology:
    """All services and pods."""

    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_names((service.host, service.at) for service in self.services)
        # Each pod has a folder of its name, of whatever namespace it is.
        _check_names((pod.name, pod.at) for pod in self.pods)

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


def _check_names(named: Iterable[tuple[str, At]]) -> None:
    known: dict[str, At] = {}
    for name, at in named:
        if name in known:
            raise at.error(f"the name {name} is taken, by what stands at {known[name]}")
        known[name] = at


def read(documents: Iterable[Document]) -> Topology:
    """Return the services and pods in `documents`.

    Raises BadRules with its place for a kind that the local mesh cannot stand up, a workload of
    several containers or ports, a name that is taken, and a service that reaches no pod.
    """
    services: list[Service] = []
    pods: list[Pod] = []
    for document in documents:
        if document.kind == "Service" and document.api_version == "v1":
            services.append(_service(document))
        elif document.kind == "Deployment" and document.api_version == "apps/v1":
            pods.extend(_pods(document))
        elif document.kind not in _PASSED_OVER:
            raise document.at.error(
                f"{document.kind} of {document.api_version} is not an object that the local mesh "
                "can stand up (it takes Service of v1 and Deployment of apps/v1)"
            )
    topology = Topology(tuple(services), tuple(pods))
    for service in services:
        _check_reached(service, topology.behind(service))
    return topology


def _check_reached(service: Service, pods: Iterable[Pod]) -> None:
    pod = None
    for pod in pods:
        for target in service.ports.values():
            if target not in (pod.port, pod.port_name):
                raise service.at.error(
                    f"service {service.name} sends to port {target} of its pods, but that of "
                    f"{pod.workload} ({pod.at}) is {pod.port}"
                )
    if pod is None:
        raise service.at.error(f"service {service.name} selects no pod")


def _service(document: Document) -> Service:
    spec = document.spec
    entries = spec.need("ports")
    if not entries.items():
        raise entries.error("at least one port")
    ports: dict[int, int | str] = {}
    for entry in entries.items():
        port, target = entry.need("port"), entry.get("targetPort")
        number = port.integer(1, 65535)
        if number in ports:
            raise port.at.error(f"{port.path}: {number} stands twice")
        ports[number] = _target_port(target) if target else number
    return Service(
        name=document.name,
        namespace=document.namespace,
        selector=labels(spec.need("selector").text_mapping()),
        ports=ports,
        at=document.at,
    )


def _target_port(target: Value) -> int | str:
    return target.text() if isinstance(target.content, str) else target.integer(1, 65535)


def _pods(document: Document) -> list[Pod]:
    spec = document.spec
    template = spec.need("template")
    pod_labels = labels(template.need("metadata").need("labels").text_mapping())
    _check_selector(spec, pod_labels)
    pod_spec = template.need("spec")
    account, count = pod_spec.get("serviceAccountName"), spec.get("replicas")
    container = _only(pod_spec.need("containers"), "container")
    port = _only(container.need("ports"), "port of a container")
    image, port_name = container.need("image"), port.get("name")
    first = Pod(
        name="",
        workload=document.name,
        namespace=document.namespace,
        labels=pod_labels,
        service_account=account.text() if account else "default",
        image=image.text(),
        env=_env(container),
        port=port.need("containerPort").integer(1, 65535),
        readiness=_readiness(container),
        at=image.at,
        port_name=port_name.text() if port_name else "",
    )
    replicas = range(count.integer(0, 100) if count else 1)
    return [replace(first, name=f"{document.name}-{index}") for index in replicas]


def _check_selector(spec: Value, pod_labels: Labels) -> None:
    selector = spec.need("selector").need("matchLabels")
    if not set(labels(selector.text_mapping())) <= set(pod_labels):
        raise selector.at.error(f"{selector.path} does not match the labels of the template")


def _only(values: Value, what: str) -> Value:
    found = values.items()
    if len(found) != 1:
        raise values.at.error(f"{values.path}: the local mesh takes exactly one {what}")
    return found[0]


def _env(container: Value) -> dict[str, str]:
    found = container.get("env")
    env: dict[str, str] = {}
    for entry in found.items() if found else []:
        entry.check_keys("name", "value", unsupported=("valueFrom",))
        value = entry.get("value")
        env[entry.need("name").text()] = value.text() if value else ""
    return env


def _readiness(container: Value) -> str | None:
    probe = container.get("readinessProbe")
    request = probe.get("httpGet") if probe else None
    return request.need("path").text() if request else None
