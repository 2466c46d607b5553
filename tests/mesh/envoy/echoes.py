"""A local mesh of echo workloads, asked by real requests through the sidecars of its pods."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshproof import rules
from meshproof.base import timeouts
from meshproof.documents import manifest
from meshproof.mesh.local.mesh import LocalMesh
from meshproof.mesh.protocol import Address, Options
from meshproof.rules.model import RuleSet

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {app}, namespace: {namespace}}}
spec:
  selector: {{app: {app}}}
  ports: [{{port: 80, targetPort: 9080}}, {{port: 81, targetPort: 9080}}]
---
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {app}-{version}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {app}, version: {version}}}}}
  template:
    metadata: {{labels: {{app: {app}, version: {version}}}}}
    spec:
      serviceAccountName: {app}
      containers:
      - image: meshproof/echo
        ports: [{{containerPort: 9080}}]
        env: [{{name: SERVICE_VERSION, value: {version}}}]
        readinessProbe: {{httpGet: {{path: /}}}}
---
"""
#: The service that has versions, by its full name.
HOST = "reviews.default.svc.cluster.local"
SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
"""


def app(name: str, *versions: str, namespace: str = "default") -> str:
    """Return the manifests of an echo service, with a pod for each version."""
    return SERVICE.format(app=name, namespace=namespace) + "".join(
        DEPLOYMENT.format(app=name, namespace=namespace, version=version) for version in versions
    )


def ruleset(text: str) -> RuleSet:
    """Return the rules in a text."""
    return rules.read_rules(manifest.parse(text, "r.yaml"))


@dataclass(frozen=True)
class Answer:
    """What came back: the status, and the JSON of the echo that answered (empty for an Envoy)."""

    status: int
    echo: Mapping[str, Any]

    @property
    def version(self) -> str:
        """The version that answered, or the status where none did."""
        return str(self.echo.get("version", self.status))


class Client:
    """A client of one address, by a connection that is kept alive."""

    def __init__(self, address: Address) -> None:
        self._connection = http.client.HTTPConnection(
            address.host, address.port, timeout=timeouts.REQUEST
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def ask(
        self,
        path: str = "/",
        method: str = "GET",
        host: str = "reviews",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return its answer."""
        self._connection.request(method, path, headers={"Host": host, **(headers or {})})
        response = self._connection.getresponse()
        body = response.read()
        is_echo = response.getheader("content-type") == "application/json"
        return Answer(response.status, json.loads(body) if is_echo else {})


class Echoes:
    """The mesh, with what the tests ask of it."""

    def __init__(self, mesh: LocalMesh) -> None:
        self.mesh = mesh

    def admin(self, pod: str, path: str) -> str:
        """Return what a pod's Envoy says of itself."""
        (envoy,) = (envoy for envoy in self.mesh._list_proxies() if envoy.name == pod)
        return envoy.read_admin(path)

    def listener(self, pod: str, name: str) -> Address:
        """Return where a listener of a pod's sidecar is: `inbound` or `outbound`."""
        for status in json.loads(self.admin(pod, "/listeners?format=json"))["listener_statuses"]:
            if status["name"] == name:
                socket = status["local_address"]["socket_address"]
                return Address(socket["address"], socket["port_value"])
        raise LookupError(f"{pod} has no listener {name}")

    def client(self, pod: str = "client-v1-0") -> Client:
        """Return a client that asks through a pod's sidecar, as the app of that pod does."""
        return Client(self.listener(pod, "outbound"))

    def count(self, pod: str, cluster: str) -> int:
        """Return how many requests a pod's Envoy has sent to a cluster."""
        text = self.admin(pod, f"/stats?format=json&filter=^cluster.{cluster}.*upstream_rq_total$")
        return sum(statistic["value"] for statistic in json.loads(text)["stats"])


@dataclass
class Load:
    """Asks by its clients until it is ended, and notes every answer that must not be.

    `allowed` are the versions that the rules then in force name; it is a new object at each change,
    so a request that saw the same one before and after it was made wholly under those rules.
    """

    clients: list[Client]
    allowed: frozenset[str]
    wrong: list[str] = field(default_factory=list)
    under: dict[frozenset[str], int] = field(default_factory=dict)
    ended: bool = False

    def __enter__(self) -> Load:
        self._threads = [
            threading.Thread(target=self._ask, args=(client,)) for client in self.clients
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True
        for thread in self._threads:
            thread.join()

    def _ask(self, client: Client) -> None:
        while not self.ended:
            before = self.allowed
            version = client.ask(host=HOST).version
            if before is self.allowed:
                self.under[before] = self.under.get(before, 0) + 1
                if version not in before:
                    self.wrong.append(f"{version} under {sorted(before)}")
            elif version not in before | self.allowed:
                self.wrong.append(f"{version} while the rules change")


@contextlib.contextmanager
def echo_mesh(*apps: str, options: Options | None = None) -> Iterator[Echoes]:
    """Stand up a local mesh with these apps."""
    with LocalMesh.opened(options or Options()) as mesh:
        mesh.deploy(manifest.parse("".join(apps), "apps.yaml"))
        yield Echoes(mesh)
