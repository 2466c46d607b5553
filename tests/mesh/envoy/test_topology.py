"""Services and pods as read from Kubernetes manifests, and what the local mesh cannot stand up."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.mesh.envoy import topology
from meshproof.mesh.envoy.topology import Pod, Service, Topology

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports:
  - {name: http, port: 80, targetPort: 9080}
  - {port: 8080, targetPort: web}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: reviews}}
  template:
    metadata: {labels: {app: reviews, version: v1}}
    spec:
      serviceAccountName: reviewer
      containers:
      - name: reviews
        image: meshproof/echo
        ports: [{name: web, containerPort: 9080}]
        env:
        - {name: A, value: "1"}
        - {name: B}
        readinessProbe: {httpGet: {path: /health, port: 9080}}
"""


def read(*texts: str) -> Topology:
    return topology.read_topology(manifest.parse("---\n".join(texts), "a.yaml"))


def refused(*texts: str) -> str:
    with pytest.raises(BadRules) as error:
        read(*texts)
    return str(error.value)


def test_a_deployment_is_a_pod_for_each_replica() -> None:
    first, second = read(DEPLOYMENT).pods
    assert first == Pod(
        name="reviews-v1-0",
        workload="reviews-v1",
        namespace="shop",
        labels=(("app", "reviews"), ("version", "v1")),
        service_account="reviewer",
        image="meshproof/echo",
        env={"A": "1", "B": ""},
        port=9080,
        readiness="/health",
        at=At("a.yaml", 13, 16),
        port_name="web",
    )
    assert (second.name, second.version) == ("reviews-v1-1", "v1")


def test_what_may_be_left_out_of_a_deployment() -> None:
    text = DEPLOYMENT
    for line in ("  replicas: 2\n", "      serviceAccountName: reviewer\n"):
        text = text.replace(line, "")
    text = text.replace("{name: web, containerPort: 9080}", "{containerPort: 9080}")
    text = (
        text.partition("        env:")[0]
        .replace(", version: v1", "")
        .replace(", namespace: shop", "")
    )
    (pod,) = read(text).pods
    assert (pod.namespace, pod.service_account, pod.readiness, pod.env) == (
        "default",
        "default",
        None,
        {},
    )
    assert (pod.version, pod.port_name) == ("", "")


def test_a_service_has_its_ports_and_names() -> None:
    (service,) = read(SERVICE, DEPLOYMENT).services
    assert service == Service(
        "reviews", "shop", (("app", "reviews"),), {80: 9080, 8080: "web"}, At("a.yaml", 1, 1)
    )
    assert service.host == "reviews.shop.svc.cluster.local"
    assert service.list_names_from("shop") == ["reviews", *service.list_names_from("other")]
    assert service.list_names_from("other") == ["reviews.shop", "reviews.shop.svc", service.host]


def test_pods_behind_a_service_by_subset() -> None:
    second = DEPLOYMENT.replace("v1", "v2").replace("apps/v2", "apps/v1")
    mesh = read(SERVICE, DEPLOYMENT, second)
    (service,) = mesh.services
    assert [pod.name for pod in mesh.select_pods(service)] == [
        *("reviews-v1-0", "reviews-v1-1", "reviews-v2-0", "reviews-v2-1"),
    ]
    assert {pod.workload for pod in mesh.select_pods(service, (("version", "v2"),))} == {
        "reviews-v2"
    }
    assert mesh.select_pods(service, (("version", "v9"),)) == []


def test_a_service_reaches_pods_of_its_own_namespace_only() -> None:
    message = "a.yaml:1:1: service reviews selects no pod"
    assert refused(SERVICE, DEPLOYMENT.replace("namespace: shop", "namespace: other")) == message
    assert refused(SERVICE, DEPLOYMENT.replace("replicas: 2", "replicas: 0")) == message


def test_what_only_a_cluster_needs_is_passed_over() -> None:
    extra = "apiVersion: v1\nkind: {}\nmetadata: {{name: a}}\n"
    texts = [extra.format(kind) for kind in ("Namespace", "ServiceAccount")]
    assert read(DEPLOYMENT, *texts) == read(DEPLOYMENT)


REFUSED = {
    "kind": (
        DEPLOYMENT.replace("Deployment", "StatefulSet"),
        "1:1: StatefulSet of apps/v1 is not an object that the local mesh can stand up "
        "(it takes Service of v1 and Deployment of apps/v1)",
    ),
    "old API": (
        DEPLOYMENT.replace("apps/v1", "apps/v1beta2"),
        "1:1: Deployment of apps/v1beta2 is not an object that the local mesh can stand up "
        "(it takes Service of v1 and Deployment of apps/v1)",
    ),
    "Service of another API": (
        SERVICE.replace("apiVersion: v1", "apiVersion: serving.knative.dev/v1"),
        "1:1: Service of serving.knative.dev/v1 is not an object that the local mesh can stand up "
        "(it takes Service of v1 and Deployment of apps/v1)",
    ),
    "selector": (
        DEPLOYMENT.replace("matchLabels: {app: reviews}", "matchLabels: {app: review}"),
        "6:27: spec.selector.matchLabels does not match the labels of the template",
    ),
    "two containers": (
        f"{DEPLOYMENT}      - {{name: other}}\n",
        "12:7: spec.template.spec.containers: the local mesh takes exactly one container",
    ),
    "two ports": (
        DEPLOYMENT.replace("[{name: web", "[{containerPort: 1}, {name: web"),
        "14:16: spec.template.spec.containers[0].ports: the local mesh takes exactly one port of "
        "a container",
    ),
    "port as text": (
        DEPLOYMENT.replace("containerPort: 9080", "containerPort: web"),
        "14:44: spec.template.spec.containers[0].ports[0].containerPort: expected a whole number "
        "from 1 to 65535, found 'web'",
    ),
    "number in the environment": (
        DEPLOYMENT.replace('"1"', "1"),
        "16:28: spec.template.spec.containers[0].env[0].value: expected text, found 1",
    ),
    "environment from elsewhere": (
        DEPLOYMENT.replace("{name: B}", "{name: B, valueFrom: {}}"),
        "17:21: spec.template.spec.containers[0].env[1].valueFrom is not supported yet",
    ),
    "replicas": (
        DEPLOYMENT.replace("replicas: 2", "replicas: 101"),
        "5:13: spec.replicas: expected a whole number from 0 to 100, found 101",
    ),
    "no image": (
        DEPLOYMENT.replace("image:", "imaje:"),
        "13:9: spec.template.spec.containers[0]: 'image' is missing; "
        "is 'imaje' a misspelling of it?",
    ),
    "no ports": (
        SERVICE.partition("  ports:")[0] + "  ports: []\n",
        "6:10: spec.ports: expected at least one port, found a list",
    ),
    "port twice": (
        SERVICE.replace("port: 8080", "port: 80"),
        "8:12: spec.ports[1].port: 80 stands twice",
    ),
    "no selector": (
        SERVICE.replace("  selector: {app: reviews}\n", ""),
        "5:3: spec: 'selector' is missing",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(text: str, message: str) -> None:
    assert refused(text) == f"a.yaml:{message}"


@pytest.mark.parametrize(
    ("port", "target"), [("9080", "9081"), ("web", "http")], ids=["number", "name"]
)
def test_a_target_port_that_the_pods_lack(port: str, target: str) -> None:
    service = SERVICE.replace(f"targetPort: {port}", f"targetPort: {target}")
    assert refused(service, DEPLOYMENT) == (
        f"a.yaml:1:1: service reviews sends to port {target} of its pods, but that of reviews-v1 "
        "(a.yaml:22) is 9080"
    )


def test_names_are_taken_once() -> None:
    assert refused(SERVICE, DEPLOYMENT, SERVICE) == (
        "a.yaml:29:1: the name reviews.shop.svc.cluster.local is taken, by what stands at a.yaml:1"
    )
    second = DEPLOYMENT.replace("namespace: shop", "namespace: other")
    assert refused(DEPLOYMENT, second) == (
        "a.yaml:32:16: the name reviews-v1-0 is taken, by what stands at a.yaml:13"
    )


def test_names_are_taken_once_in_two_deployments_too() -> None:
    with pytest.raises(BadRules, match=r"^a\.yaml:13:16: the name reviews-v1-0 is taken"):
        read(DEPLOYMENT) + read(DEPLOYMENT)
