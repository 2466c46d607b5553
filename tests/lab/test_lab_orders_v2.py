"""Orders v2 is replaced as its user does it, `kubectl replace --force`, while requests run."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from meshproof.base.waiting import wait_for
from meshproof.mesh.cluster.mesh import ClusterMesh
from tests.lab.commands import kubectl

#: Seconds: the replaced one answers again, and at most so long nobody answers well.
BACK, SILENT = 90.0, 5.0
TOTALS = {104.98: "v1", 1000.0: "v2"}


@dataclass
class Client:
    """Asks for /orders through the ingress, again and again: when, and who answered (or what)."""

    mesh: ClusterMesh
    seen: list[tuple[float, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.seen.append((time.monotonic(), self._ask()))

    def _ask(self) -> str:
        address = self.mesh.address("ingress")
        connection = http.client.HTTPConnection(address.host, address.port, timeout=SILENT)
        try:
            connection.request("GET", "/orders", headers={"Host": address.authority})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                return f"status {answer.status}"
            (order,) = json.loads(body)["_embedded"]["customerOrders"]
            return TOTALS[order["total"]]
        except OSError as error:
            return type(error).__name__
        finally:
            connection.close()

    def count_new(self, begin: float) -> list[str]:
        return [who for when, who in list(self.seen) if when >= begin]

    def longest_silence(self, begin: float) -> float:
        """Return the longest time in seconds without a good answer."""
        good = [when for when, who in self.seen if when >= begin and who in TOTALS.values()]
        assert good, "nobody answered"
        return max(b - a for a, b in zip([begin, *good], [*good, self.seen[-1][0]], strict=True))


@pytest.fixture
def client(shop: ClusterMesh) -> Iterator[Client]:
    client = Client(shop)
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        yield client
    finally:
        client.ended.set()
        thread.join()


def replaced(namespace: str, name: str) -> None:
    """Replace a Deployment by the same as it was written, without what the cluster adds."""
    deployment = json.loads(kubectl("get", "deployment", name, "-n", namespace, "-o", "json"))
    metadata = {key: deployment["metadata"][key] for key in ("name", "namespace", "labels")}
    body = {
        **{key: deployment[key] for key in ("apiVersion", "kind", "spec")},
        "metadata": metadata,
    }
    kubectl("replace", "--force", "-f", "-", text=json.dumps(body))


def service(namespace: str) -> tuple[str, str]:
    service_body = json.loads(kubectl("get", "service", "orders", "-n", namespace, "-o", "json"))
    return service_body["metadata"]["uid"], service_body["spec"]["clusterIP"]


def pods(namespace: str, version: str) -> set[str]:
    label = f"name=orders,version={version}"
    return set(kubectl("get", "pods", "-n", namespace, "-l", label, "-o", "name").split())


def until_both(client: Client, begin: float) -> None:
    def look() -> bool | None:
        return True if {"v1", "v2"} <= set(client.count_new(begin)) else None

    wait_for(
        look, BACK, lambda: f"not both of v1 and v2 answer: {client.count_new(begin)[-5:]}", 0.1
    )


def test_the_service_is_not_lost(
    shop: ClusterMesh, client: Client, record_property: Callable[[str, object], None]
) -> None:
    (namespace,) = {replica.namespace for replica in shop.replicas() if replica.app == "orders"}
    until_both(client, 0)
    before, first, v1_pods = service(namespace), pods(namespace, "v2"), pods(namespace, "v1")
    begin = time.monotonic()
    replaced(namespace, "orders-v2")
    kubectl("rollout", "status", "deployment/orders-v2", "-n", namespace, f"--timeout={BACK:.0f}s")
    new = pods(namespace, "v2") - first
    assert len(new) == 1
    until_both(client, time.monotonic())
    back = time.monotonic() - begin
    client.ended.set()
    answers = client.count_new(begin)
    errors = [who for who in answers if who not in TOTALS.values()]
    summary = f"{len(errors)} errors in {len(answers)} answers, v2 is back after {back:.1f} s"
    record_property("replaced", summary)
    print(f"\n{summary}; nobody answered for {client.longest_silence(begin):.2f} s at most")  # noqa: T201
    assert service(namespace) == before
    assert pods(namespace, "v1") == v1_pods
    assert answers.count("v1") > len(answers) / 10
    assert client.longest_silence(begin) < SILENT, summary
    assert len(errors) < len(answers) / 20, f"{summary}: {errors[:5]}"
