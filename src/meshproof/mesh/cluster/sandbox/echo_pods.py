"""The echo workloads of a sandbox: a Service for each host of the rules, a pod for each route.

A ConfigMap holds their script, meshproof.apps.echo_pod; they run on the probe's image. They keep to
the standard `restricted` (Kubernetes docs, "Pod Security Standards"), each with a sidecar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from meshproof.apps.echo_pod import HEALTH_PATH, PORT
from meshproof.base.names import is_service
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.world import Presence
from meshproof.mesh.cluster.api import images, pod_security
from meshproof.mesh.cluster.api.client import Object
from meshproof.mesh.cluster.api.objects import SMALL_RESOURCES, SMALL_SIDECAR_ANNOTATIONS
from meshproof.mesh.cluster.run.probe import INJECT_LABEL, RESTRICTED_POD
from meshproof.mesh.echo.workloads import EchoWorkload, split_host

#: The label of an echo workload; its value is the name of the Service that it was made for.
LABEL = "meshproof/echo"
#: The prefix to the name of each Service that selects an echo workload, as the key of a label.
_SERVICE_PREFIX = "echo.meshproof/"
#: The namespaces that see a Service (Istio reference, "Resource Annotations").
EXPORT_TO = "networking.istio.io/exportTo"
CONTAINER = "echo"
_FOLDER = "/meshproof"
_CONFIG = "meshproof-echo"
_LONGEST = 50
#: Prefixes of labels that control injection: the run decides that, not the user's labels.
_INJECTION_PREFIXES = ("sidecar.istio.io/", "istio.io/", "service.istio.io/")


@dataclass(frozen=True)
class EchoPlacement:
    """Where and how to create the echo workloads; `namespaces` maps the user's to the sandbox's.

    `ports` are those of each host, `labels` those of the run and of injection. `image` maps an
    image reference to the one to pull. `exports` returns the namespaces that see a host's Service.
    """

    namespaces: Mapping[str, str]
    ports: Mapping[str, Sequence[int]]
    labels: Mapping[str, str]
    image: Callable[[str], str]
    exports: Callable[[str], Sequence[str]]


def select_services(echoes: Sequence[EchoWorkload]) -> list[EchoWorkload]:
    """Return the echo workloads whose host is a service: hosts outside get no pod."""
    return [echo for echo in echoes if is_service(echo.host)]


def list_services(hosts: Iterable[str], known_hosts: KnownHosts) -> list[str]:
    """Return the hosts that are Services which exist."""
    return [
        host
        for host in hosts
        if is_service(host)
        and known_hosts.world.describe_host(host).presence is not Presence.ABSENT
    ]


def make_objects(
    echoes: Sequence[EchoWorkload], known_hosts: KnownHosts, placement: EchoPlacement
) -> Iterator[Object]:
    """Yield the ConfigMap of each namespace, then the Services, then the pods.

    A host that does not exist has no Service here either, one without pods has one alone.
    """
    services = select_services(echoes)
    script = (files("meshproof.apps") / "echo_pod.py").read_text(encoding="utf-8")
    for namespace in dict.fromkeys(split_host(echo.host)[1] for echo in services):
        metadata = _make_metadata(_CONFIG, placement.namespaces[namespace], placement.labels)
        script_data = {"echo_pod.py": script}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": script_data}
    for host in list_services(placement.ports, known_hosts):
        yield _make_service(host, placement)
    for number, echo in enumerate(services):
        yield _make_pod(echo, number, placement)


def name_pods(
    echoes: Sequence[EchoWorkload], namespaces: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return echo workload -> (namespace, name) of its pod."""
    return {
        echo.name: (namespaces[split_host(echo.host)[1]], _pod_name(echo, number))
        for number, echo in enumerate(select_services(echoes))
    }


def _pod_name(echo: EchoWorkload, number: int) -> str:
    """Return the name of an echo workload's pod."""
    return f"{split_host(echo.host)[0][:_LONGEST]}-{number}"


def _make_metadata(name: str, namespace: str, labels: Mapping[str, str]) -> Object:
    """Return the metadata of an object."""
    return {"name": name, "namespace": namespace, "labels": dict(labels)}


def _make_service(host: str, placement: EchoPlacement) -> Object:
    """Return a Service with the user's ports, all HTTP; one port of the echo serves each."""
    name, namespace = split_host(host)
    metadata = _make_metadata(name, placement.namespaces[namespace], placement.labels)
    metadata["annotations"] = {EXPORT_TO: ",".join(placement.exports(host))}
    port_specs = [
        {"name": f"http-{port}", "port": port, "targetPort": PORT} for port in placement.ports[host]
    ]
    spec = {"selector": {f"{_SERVICE_PREFIX}{name}": "true"}, "ports": port_specs}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _make_pod(echo: EchoWorkload, number: int, placement: EchoPlacement) -> Object:
    """Return the pod of an echo workload, with the labels that the user's Services select."""
    service, namespace = split_host(echo.host)
    user_labels = {
        key: value for key, value in echo.labels if not key.startswith(_INJECTION_PREFIXES)
    }
    user_labels.setdefault("app", service)
    selected = {f"{_SERVICE_PREFIX}{split_host(host)[0]}": "true" for host in echo.hosts}
    labels = {**user_labels, **selected, **placement.labels, LABEL: service, INJECT_LABEL: "true"}
    metadata = _make_metadata(_pod_name(echo, number), placement.namespaces[namespace], labels)
    metadata["annotations"] = dict(SMALL_SIDECAR_ANNOTATIONS)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            **RESTRICTED_POD,
            "containers": [_make_container(echo.name, placement.image(images.PROBE_IMAGE))],
            "volumes": [{"name": "script", "configMap": {"name": _CONFIG}}],
        },
    }


def _make_container(name: str, image: str) -> Object:
    """Return the container that runs the echo script."""
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", f"{_FOLDER}/echo_pod.py", name],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": HEALTH_PATH, "port": PORT}, "periodSeconds": 1},
        "resources": SMALL_RESOURCES,
        "securityContext": pod_security.CONTAINER_CONTEXT,
        "volumeMounts": [{"name": "script", "mountPath": _FOLDER, "readOnly": True}],
    }
