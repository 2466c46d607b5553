"""What a run makes of the files: its own namespaces, its labels, its host, its images."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof import manifests
from meshproof.documents.manifest import parse
from meshproof.inventory.workloads import WORKLOAD_KINDS
from meshproof.mesh.cluster.api import images
from meshproof.mesh.cluster.api.objects import (
    RUN_LABEL,
    SIDECAR_ANNOTATIONS,
    SMALL_RESOURCES,
    RunObject,
    RunScope,
)
from tests.manifest_text import write_head

SCOPE = RunScope("ab12")
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [default/in, mesh]
  http:
  - match:
    - headers: {host: {exact: "*"}}
    route:
    - destination: {host: cart}
    - destination: {host: cart.shop.svc.cluster.local}
    - destination: {host: pay.default.svc.cluster.local}
    - destination: {host: api.example.com}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in}
spec:
  servers:
  - hosts: ["*", "shop/*", "*/*", "shop.example.com"]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""


def make_run_objects(text: str, scope: RunScope = SCOPE) -> list[RunObject]:
    documents = parse(text, "rules.yaml")
    names = scope.file_namespaces(documents)
    return [
        run_object for document in documents for run_object in scope.make_objects(document, names)
    ]


def test_each_namespace_becomes_one_of_the_run() -> None:
    assert SCOPE.file_namespaces(parse(RULES, "rules.yaml")) == ["default", "shop"]
    assert [(run_object.kind, run_object.namespace) for run_object in make_run_objects(RULES)] == [
        ("VirtualService", "meshproof-ab12-shop"),
        ("Gateway", "meshproof-ab12"),
        ("PeerAuthentication", "meshproof-ab12"),
        ("PeerAuthentication", "meshproof-ab12-shop"),
    ]


def test_a_policy_of_the_whole_mesh_never_gets_there() -> None:
    assert all(
        run_object.namespace.startswith("meshproof-ab12") for run_object in make_run_objects(RULES)
    )


def test_names_of_namespaces_inside_values_follow() -> None:
    spec = make_run_objects(RULES)[0].body["spec"]
    assert spec["gateways"] == ["meshproof-ab12/in", "mesh"]
    assert [weighted["destination"]["host"] for weighted in spec["http"][0]["route"]] == [
        "cart",
        "cart.meshproof-ab12-shop.svc.cluster.local",
        "pay.meshproof-ab12.svc.cluster.local",
        "api.example.com",
    ]


def test_what_all_would_take_is_taken_for_the_host_of_the_run_alone() -> None:
    service, gateway, *_ = make_run_objects(RULES)
    assert service.body["spec"]["hosts"] == ["meshproof-ab12.test"]
    assert gateway.body["spec"]["servers"][0]["hosts"] == [
        "meshproof-ab12.test",
        "meshproof-ab12-shop/meshproof-ab12.test",
        "*/meshproof-ab12.test",
        "shop.example.com",
    ]


def test_a_value_that_is_compared_is_left_as_it_is() -> None:
    match = make_run_objects(RULES)[0].body["spec"]["http"][0]["match"][0]
    assert match == {"headers": {"host": {"exact": "*"}}}


def test_everything_is_labelled_pods_too() -> None:
    documents = manifests.apps()
    names = SCOPE.file_namespaces(documents)
    run_objects = [
        run_object for document in documents for run_object in SCOPE.make_objects(document, names)
    ]
    assert len(run_objects) > 20
    assert {run_object.body["metadata"]["labels"][RUN_LABEL] for run_object in run_objects} == {
        "ab12"
    }
    pods: list[dict[str, Any]] = [
        run_object.body["spec"]["template"]
        for run_object in run_objects
        if run_object.kind == "Deployment"
    ]
    assert {pod["metadata"]["labels"][RUN_LABEL] for pod in pods} == {"ab12"}
    assert "Namespace" not in {run_object.kind for run_object in run_objects}


def test_images_come_from_a_mirror() -> None:
    image = images.make_image_mapper({"docker.io/a/x:1": "here/x:2"}, "mirror.example/team/")
    assert image("docker.io/a/x:1") == "here/x:2"
    assert image("docker.io/istio/y:1") == "mirror.example/team/istio/y:1"
    assert image("localhost:5000/y@sha256:ab") == "mirror.example/team/y@sha256:ab"
    assert image("istio/y") == "mirror.example/team/istio/y"
    assert images.make_image_mapper({}, "")("docker.io/istio/y:1") == "docker.io/istio/y:1"
    pod = write_head("Pod", "p") + "spec: {containers: [{image: a/b}]}"
    (run_object,) = make_run_objects(pod, RunScope("ab12", image))
    assert run_object.body["spec"]["containers"][0]["image"] == "mirror.example/team/a/b"


WORKLOAD = """
apiVersion: apps/v1
kind: KIND
metadata: {name: cart}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: cart}]}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: cart, labels: {app: cart}}
spec: {containers: [{name: cart, image: cart}]}
"""


@pytest.mark.parametrize("kind", WORKLOAD_KINDS)
def test_the_pods_of_every_workload_are_the_runs(kind: str) -> None:
    text = POD if kind == "Pod" else WORKLOAD.replace("KIND", kind)
    (run_object,) = make_run_objects(text, RunScope("ab12", small=True))
    template = run_object.body if kind == "Pod" else run_object.body["spec"]["template"]
    assert template["metadata"]["labels"].items() >= {RUN_LABEL: "ab12", "app": "cart"}.items()
    assert template["metadata"]["annotations"].keys() >= SIDECAR_ANNOTATIONS.keys()
    assert template["spec"]["terminationGracePeriodSeconds"] == 1
    assert template["spec"]["containers"][0]["resources"] == SMALL_RESOURCES
