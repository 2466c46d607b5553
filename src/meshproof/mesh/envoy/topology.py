"""Read the services and pods of the local mesh from Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from meshproof.base.errors import NotReady, suggest_nearest
from meshproof.base.names import CLUSTER_DOMAIN, Labels, sort_labels
from meshproof.documents.manifest import At, Document, Value
from meshproof.inventory.problems import raise_first_problem
from meshproof.inventory.services import read_services
from meshproof.inventory.workloads import read_workloads

#: The groups of objects that are rules; all others are workloads and services.
RULE_GROUPS = ("networking.istio.io", "security.istio.io", "config.istio.io")
#: Kinds that only a cluster needs; the local mesh ignores them.
_IGNORED_KINDS = ("Namespace", "ServiceAccount")


@dataclass(frozen=True)
class Pod:
    """One replica of a workload: its origin, its container and its identity in the mesh."""

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

    def is_selected_by(self, selector: Labels) -> bool:
        """Say whether the pod has every label of `selector`."""
        return set(selector) <= set(self.labels)


@dataclass(frozen=True)
class Service:
    """A Kubernetes Service; `ports` maps port number -> the pods' port, by number or name.

    An `is_external` service is not in the cluster: its name is its host (of a ServiceEntry). One
    that does not `exist` is only a name that rules have: nothing can be sent to it.
    `other_ports` are those that are not HTTP: they have no HTTP routes. At `tls_ports` its pods
    speak TLS, at `origination_ports` the proxies of callers do.
    """

    name: str
    namespace: str
    selector: Labels
    ports: Mapping[int, int | str]
    at: At
    is_external: bool = False
    exists: bool = True
    other_ports: tuple[int, ...] = ()
    tls_ports: tuple[int, ...] = ()
    origination_ports: tuple[int, ...] = ()

    @property
    def host(self) -> str:
        """The full name in the cluster; the name alone for an external service."""
        if self.is_external:
            return self.name
        return f"{self.name}.{self.namespace}.{CLUSTER_DOMAIN}"

    def list_names_from(self, namespace: str) -> list[str]:
        """Return every name by which a pod in `namespace` may call the service."""
        if self.is_external:
            return [self.name]
        qualified = f"{self.name}.{self.namespace}"
        short = [self.name] if namespace == self.namespace else []
        return [*short, qualified, f"{qualified}.svc", self.host]


@dataclass(frozen=True)
class Topology:
    """All services and pods of a mesh."""

    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_names((service.host, service.at) for service in self.services)
        # Each pod has a folder of its name, of whatever namespace it is.
        _check_names((pod.name, pod.at) for pod in self.pods)

    def __add__(self, addition: Topology) -> Topology:
        return Topology(self.services + addition.services, self.pods + addition.pods)

    def find_service(self, name: str) -> Service:
        """Return the service `NAME[.NAMESPACE]`. Raises NotReady with the nearest known name."""
        short_name, _, namespace = name.partition(".")
        services = {(service.name, service.namespace): service for service in self.services}
        match = services.get((short_name, namespace or "default"))
        if match is None:
            hint = suggest_nearest(name, [".".join(key) for key in services])
            raise NotReady(f"there is no service {name} in the mesh{hint}")
        return match

    def select_pods(self, service: Service, subset: Labels = ()) -> list[Pod]:
        """Return the pods that a service selects, narrowed to a subset's labels."""
        return [
            pod
            for pod in self.pods
            if pod.namespace == service.namespace
            and pod.is_selected_by(service.selector)
            and pod.is_selected_by(subset)
        ]


def _check_names(names: Iterable[tuple[str, At]]) -> None:
    """Raise BadRules if a name occurs twice."""
    places: dict[str, At] = {}
    for name, at in names:
        if name in places:
            raise at.error(f"the name {name} is taken, by what stands at {places[name]}")
        places[name] = at


def read_topology(documents: Iterable[Document]) -> Topology:
    """Return the services and pods in `documents`.

    Raises BadRules with its place for a kind that the local mesh cannot run, a workload with
    several containers or ports, a name that occurs twice, and a service that reaches no pod.
    """
    services: list[Service] = []
    pods: list[Pod] = []
    for document in documents:
        if document.kind == "Service" and document.api_version == "v1":
            services.append(_read_service(document))
        elif document.kind == "Deployment" and document.api_version == "apps/v1":
            pods.extend(_read_pods(document))
        elif document.kind not in _IGNORED_KINDS:
            raise document.at.error(
                f"{document.kind} of {document.api_version} is not an object that the local mesh "
                "can stand up (it takes Service of v1 and Deployment of apps/v1)"
            )
    topology = Topology(tuple(services), tuple(pods))
    for service in services:
        _check_target_ports(service, topology.select_pods(service))
    return topology


def _check_target_ports(service: Service, pods: Iterable[Pod]) -> None:
    """Raise BadRules if a service selects no pod or targets a port that its pods do not have."""
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


def _read_service(document: Document) -> Service:
    """Return the Service in a document."""
    (service,) = read_services([document])
    raise_first_problem([service])
    if not service.ports:
        raise document.spec.need("ports").lacks("at least one port")
    ports: dict[int, int | str] = {}
    for port in service.ports:
        if port.number in ports:
            number = port.value.need("port")
            raise number.at.error(f"{port.number} stands twice", path=number.path)
        ports[port.number] = port.target
    if not service.selector:
        document.spec.need("selector")
    return Service(document.name, document.namespace, service.selector, ports, document.at)


def _read_pods(document: Document) -> list[Pod]:
    """Return the pods of a Deployment, one for each replica."""
    spec = document.spec
    (workload,) = read_workloads([document])
    raise_first_problem([workload])
    _check_selector(spec, workload.pod_labels)
    pod_spec = spec.need("template").need("spec")
    account, count = pod_spec.get("serviceAccountName"), spec.get("replicas")
    container = _require_single(pod_spec.need("containers"), "container")
    port = _require_single(container.need("ports"), "port of a container")
    image, port_name = container.need("image"), port.get("name")
    template_pod = Pod(
        name="",
        workload=document.name,
        namespace=document.namespace,
        labels=workload.pod_labels,
        service_account=account.text() if account else "default",
        image=image.text(),
        env=_read_env(container),
        port=port.need("containerPort").integer(1, 65535),
        readiness=_read_readiness_path(container),
        at=image.at,
        port_name=port_name.text() if port_name else "",
    )
    replicas = range(count.integer(0, 100) if count else 1)
    return [replace(template_pod, name=f"{document.name}-{index}") for index in replicas]


def _check_selector(spec: Value, pod_labels: Labels) -> None:
    """Raise BadRules if a Deployment does not select its own pods."""
    selector = spec.need("selector").need("matchLabels")
    if not set(sort_labels(selector.text_mapping())) <= set(pod_labels):
        raise selector.at.error(f"{selector.path} does not match the labels of the template")


def _require_single(values: Value, noun: str) -> Value:
    """Return the only element of a list; `noun` names the elements in the error."""
    items = values.items()
    if len(items) != 1:
        raise values.at.error(f"the local mesh takes exactly one {noun}", path=values.path)
    return items[0]


def _read_env(container: Value) -> dict[str, str]:
    """Return the environment variables of a container."""
    entries = container.get("env")
    env: dict[str, str] = {}
    for entry in entries.items() if entries else []:
        if entry.get("valueFrom") is not None:
            raise entry.keys["valueFrom"].unsupported(
                f"{entry.path}.valueFrom is not supported yet"
            )
        value = entry.get("value")
        env[entry.need("name").text()] = value.text() if value else ""
    return env


def _read_readiness_path(container: Value) -> str | None:
    """Return the path of a container's HTTP readiness probe, or None."""
    probe = container.get("readinessProbe")
    request = probe.get("httpGet") if probe else None
    return request.need("path").text() if request else None
