"""The probe: a pod of the run that sends batches of requests from inside the cluster.

With a sidecar it is a client inside the mesh; without one it bypasses every sidecar. A ConfigMap
holds its script, meshproof.apps.probe; any Python image runs it. Its containers keep to the
standard `restricted` (Kubernetes docs, "Pod Security Standards").
"""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.base.waiting import wait_answered
from meshproof.mesh.cluster.api import images, pod_security
from meshproof.mesh.cluster.api.client import Kube, Object
from meshproof.mesh.cluster.api.objects import SIDECAR_ANNOTATIONS, SMALL_SIDECAR_ANNOTATIONS
from meshproof.mesh.cluster.api.port_forward import Channel
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.http import HttpRequest, HttpResponse, LossReason, NoResponse
from meshproof.mesh.protocol import Address

#: The label of a probe, and the selector that excludes probes.
LABEL = "meshproof/probe"
NO_PROBES = f"!{LABEL}"
#: Decides whether a pod is injected (Istio docs, "Resource Labels").
INJECT_LABEL = "sidecar.istio.io/inject"
CONTAINER = "probe"
#: The common part of the pods of probes and echo workloads.
RESTRICTED_POD = {
    "restartPolicy": "Always",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 1,
    "securityContext": pod_security.POD_CONTEXT,
}
_PORT = 8099
_FOLDER = "/meshproof"


class Probe:
    """A running probe; see `start`. A `meshproof.mesh.http.Sender`."""

    def __init__(self, kube: Kube, pod: str, namespace: str) -> None:
        self._kube, self.pod, self.namespace = kube, pod, namespace
        self._channel = Channel(kube, pod, namespace, _PORT)
        self._session, self._batch_numbers = uuid.uuid4().hex, itertools.count()

    @staticmethod
    def create(
        kube: Kube,
        namespace: str,
        labels: Mapping[str, str],
        image: Callable[[str], str] = str,
        sidecar: bool = False,
        name: str = "",
    ) -> str:
        """Create the pod of a probe; return its name. Raises what `start` raises."""
        name = name or f"meshproof-probe-{'inside' if sidecar else 'plain'}"
        for body in _make_objects(
            name, namespace, dict(labels), image(images.PROBE_IMAGE), sidecar
        ):
            try:
                kube.apply(body)
            except NotReady as error:
                raise workloads.explain_pod_security(error, namespace) from None
        return name

    @classmethod
    def start(
        cls,
        kube: Kube,
        namespace: str,
        labels: Mapping[str, str],
        image: Callable[[str], str] = str,
        sidecar: bool = False,
    ) -> Probe:
        """Create a probe; for one with a sidecar the namespace must ask for injection.

        Returns when the probe takes batches. Raises NotReady, with what to do, if it does not start
        or if the namespace's PodSecurity refuses its sidecar.
        """
        return cls.wait_ready(kube, namespace, cls.create(kube, namespace, labels, image, sidecar))

    @classmethod
    def wait_ready(cls, kube: Kube, namespace: str, name: str) -> Probe:
        """Return the probe of an existing pod once it takes batches. Raises NotReady."""
        workloads.wait_running(kube, namespace, name)
        probe = cls(kube, name, namespace)
        wait_answered(
            lambda: probe._channel.ask("/"),
            timeouts.APP_START,
            lambda last: f"{namespace}/{name}: the probe takes no batches: {last}",
        )
        return probe

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        """Send a batch; return the outcome of each request, in send order.

        If the answer to a batch is lost, the probe is asked again; it sends the requests only once.
        Raises NotReady if no answer arrives.
        """
        batch = make_batch(address, requests, workers, keep_alive)
        batch |= {"line": self._session, "number": next(self._batch_numbers)}
        rounds = -(-len(requests) // max(1, workers))
        seconds = (
            rounds * max((request.max_seconds for request in requests), default=0.0)
            + timeouts.ADMIN
        )
        outcomes = json.loads(self._channel.ask("/", json.dumps(batch), seconds))
        return [
            parse_outcome(request, outcome)
            for request, outcome in zip(requests, outcomes, strict=True)
        ]

    def describe_command(self, curl: str) -> str:
        """Return the command that sends what `curl` would send, from the probe's pod."""
        arguments = curl.removeprefix("curl ")
        kubectl_exec = f"kubectl -n {self.namespace} exec {self.pod} -c {CONTAINER}"
        return f"{kubectl_exec} -- python3 {_FOLDER}/probe.py {arguments}"

    def clone(self) -> Probe:
        """Return the same probe with its own connection, for another thread."""
        return Probe(self._kube, self.pod, self.namespace)

    def close(self) -> None:
        """End the connection to the pod."""
        self._channel.close()


def make_batch(
    address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
) -> dict[str, Any]:
    """Return a batch in the format of `meshproof.apps.probe`."""
    return {
        "host": address.host,
        "port": address.port,
        "workers": workers,
        "keep_alive": keep_alive,
        "tls": address.tls,
        "requests": [
            {
                "method": request.method,
                "path": request.path,
                "headers": request.headers,
                "without": request.omitted_headers,
                "seconds": request.max_seconds,
            }
            for request in requests
        ],
    }


def parse_outcome(request: HttpRequest, outcome: dict[str, Any]) -> HttpResponse | NoResponse:
    """Return the outcome of a request from what `meshproof.apps.probe` reports."""
    if "lost" in outcome:
        return NoResponse(LossReason(outcome["lost"]), str(outcome["why"]))
    headers: dict[str, str] = {}
    for name, value in outcome["headers"]:
        name = str(name).lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else str(value)
    body = base64.b64decode(outcome["body"])
    return HttpResponse(request, int(outcome["status"]), headers, body, float(outcome["seconds"]))


def _make_objects(
    name: str, namespace: str, labels: dict[str, str], image: str, sidecar: bool
) -> list[Object]:
    """Return the ConfigMap and the pod of a probe."""
    script = (files("meshproof.apps") / "probe.py").read_text(encoding="utf-8")
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    pod_labels = {
        "app": name,
        **labels,
        LABEL: "true",
        INJECT_LABEL: "true" if sidecar else "false",
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"probe.py": script},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **metadata,
                "labels": pod_labels,
                "annotations": {**SIDECAR_ANNOTATIONS, **SMALL_SIDECAR_ANNOTATIONS},
            },
            "spec": {
                **RESTRICTED_POD,
                "containers": [_make_container(image)],
                "volumes": [{"name": "script", "configMap": {"name": name}}],
            },
        },
    ]


def _make_container(image: str) -> Object:
    """Return the container that runs the probe's script."""
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", f"{_FOLDER}/probe.py", "serve", str(_PORT)],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "1", "memory": "128Mi"},
        },
        "securityContext": pod_security.CONTAINER_CONTEXT,
        "volumeMounts": [{"name": "script", "mountPath": _FOLDER, "readOnly": True}],
    }
