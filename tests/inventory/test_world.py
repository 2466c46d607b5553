"""What is there, as the files say: red only where they leave no doubt."""

from __future__ import annotations

import pytest

from meshproof.documents import manifest
from meshproof.inventory import Inventory
from meshproof.inventory.known_hosts import list_known_hosts
from meshproof.inventory.world import Presence, World, read_world

WEB = "web.default.svc.cluster.local"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 1, template: {metadata: {labels: {app: web, version: v1}}}}
---
"""
ZERO = DEPLOYMENT.replace("replicas: 1", "replicas: 0")
OTHER = DEPLOYMENT.replace("app: web", "app: other")


def read(text: str, **unread: tuple[str, ...]) -> World:
    documents = manifest.parse(text, "r.yaml")
    return read_world(documents, Inventory(documents), **unread)


def describe(text: str, host: str = WEB) -> tuple[Presence, str]:
    state = read(text).describe_host(host)
    return state.presence, state.reason


def write(kind: str, api_version: str, name: str, spec: str) -> str:
    return (
        f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )


POD = "{metadata: {labels: {app: web}}}"


@pytest.mark.parametrize(
    "source",
    [
        DEPLOYMENT,
        write("StatefulSet", "apps/v1", "web", f"{{template: {POD}}}"),
        write("DaemonSet", "apps/v1", "web", f"{{template: {POD}}}"),
        write("ReplicaSet", "apps/v1", "web", f"{{template: {POD}}}"),
        write("ReplicationController", "v1", "web", f"{{template: {POD}}}"),
        write("Job", "batch/v1", "web", f"{{template: {POD}}}"),
        write("CronJob", "batch/v1", "web", f"{{jobTemplate: {{spec: {{template: {POD}}}}}}}"),
        write("Rollout", "argoproj.io/v1alpha1", "web", f"{{template: {POD}}}"),
        write("CloneSet", "apps.kruise.io/v1alpha1", "web", f"{{template: {POD}}}"),
        write("WorkloadEntry", "networking.istio.io/v1", "web", "{labels: {app: web}}"),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n---\n",
    ],
)
def test_every_kind_that_has_pods_may_answer_for_a_service(source: str) -> None:
    assert describe(SERVICE + source) == (Presence.PRESENT, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SERVICE + OTHER, "the pods of its namespace have app=other"),
        (SERVICE + ZERO, "Deployment web has 0 replicas"),
    ],
)
def test_a_service_that_no_pod_answers_for(text: str, reason: str) -> None:
    assert describe(text) == (Presence.WITHOUT_PODS, reason)


ROLLOUT = write(
    "Rollout",
    "argoproj.io/v1alpha1",
    "web",
    "{workloadRef: {apiVersion: apps/v1, kind: Deployment, name: web}}",
)
SCALED = write("ScaledObject", "keda.sh/v1alpha1", "web", "{scaleTargetRef: {name: web}}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SERVICE, "no workload of namespace default is known"),
        (SERVICE.replace("selector: {app: web}, ", ""), "its Service has no selector"),
        (SERVICE.replace("spec: {", "spec: {type: ExternalName, "), "it is another name of a host"),
        (
            SERVICE + OTHER + write("Rollout", "argoproj.io/v1alpha1", "r", "{template: {}}"),
            "the pods of Rollout r may have more labels than its file",
        ),
        (OTHER, "no Service of namespace default is known"),
    ],
)
def test_what_is_not_known_is_stood_in_for(text: str, reason: str) -> None:
    assert describe(text) == (Presence.STOOD_IN, reason)


@pytest.mark.parametrize("decider", [ROLLOUT, SCALED])
def test_replicas_that_another_object_decides_are_pods(decider: str) -> None:
    assert describe(SERVICE + ZERO + decider) == (Presence.PRESENT, "")


def test_a_host_without_service_beside_others_is_absent_with_the_nearest() -> None:
    state = read(SERVICE).describe_host("wbe.default.svc.cluster.local")
    assert (state.presence, state.nearest) == (Presence.ABSENT, WEB)
    state = read(SERVICE).describe_host("cart.default.svc.cluster.local")
    assert (state.presence, state.nearest) == (Presence.ABSENT, "")


def test_a_name_that_istio_does_not_complete_is_absent() -> None:
    state = read(SERVICE).describe_host("web.default")
    assert (state.presence, state.nearest) == (Presence.ABSENT, WEB)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", "kubernetes.default.svc.cluster.local"),
        ("", "cart.shop.svc.cluster.local"),
        ("", "api.example"),
        (write("Canary", "flagger.app/v1beta1", "cart", "{}"), "cart-primary.default.SVC"),
        (write("Service", "serving.knative.dev/v1", "cart", "{}"), "cart.default.SVC"),
        (
            write("ServiceEntry", "networking.istio.io/v1", "cart", "{hosts: ['*.default.SVC']}"),
            "cart.default.SVC",
        ),
        (
            SERVICE.replace("{name: web}", "{name: web, namespace: istio-system}"),
            "x.istio-system.SVC",
        ),
    ],
)
def test_a_host_that_may_exist_is_not_absent(text: str, host: str) -> None:
    text, host = (part.replace("SVC", "svc.cluster.local") for part in (text, host))
    assert not read(SERVICE + text).describe_host(host).is_dead


def test_what_was_not_read_may_have_it_all() -> None:
    world = read(SERVICE + OTHER, unread=("chart/templates/app.yaml",))
    reason = "chart/templates/app.yaml was not read and may have"
    for host, part in ((WEB, "its pods"), ("wbe.default.svc.cluster.local", "it")):
        state = world.describe_host(host)
        assert (state.presence, state.reason) == (Presence.STOOD_IN, f"{reason} {part}")
    world = read(SERVICE + OTHER, unread_workloads=("bare pods",))
    assert world.describe_host(WEB).presence is Presence.STOOD_IN
    assert world.describe_host("wbe.default.svc.cluster.local").presence is Presence.ABSENT


CANARY = write(
    "Rollout",
    "argoproj.io/v1alpha1",
    "web",
    f"{{template: {POD}, strategy: {{canary: {{canaryMetadata: {{labels: {{role: canary}}}}}}}}}}",
)


@pytest.mark.parametrize(
    ("text", "labels", "presence"),
    [
        (DEPLOYMENT, {"version": "v1"}, Presence.PRESENT),
        (DEPLOYMENT, {"app": "web"}, Presence.PRESENT),
        (DEPLOYMENT, {"version": "v2"}, Presence.WITHOUT_PODS),
        (DEPLOYMENT, {"tier": "gold"}, Presence.WITHOUT_PODS),
        ("", {"app": "cart"}, Presence.WITHOUT_PODS),  # whatever its pods are: it selects others
        ("", {"version": "v2"}, Presence.STOOD_IN),
        (DEPLOYMENT, {"pod-template-hash": "abc"}, Presence.STOOD_IN),
        (DEPLOYMENT, {"topology.istio.io/cluster": "a"}, Presence.STOOD_IN),
        (CANARY, {"role": "canary"}, Presence.PRESENT),
        (CANARY, {"rollouts-pod-template-hash": "abc"}, Presence.STOOD_IN),
    ],
)
def test_a_subset_is_empty_only_where_no_pod_can_have_its_labels(
    text: str, labels: dict[str, str], presence: Presence
) -> None:
    state = read(SERVICE + text).describe_subset(WEB, tuple(labels.items()))
    assert state.presence is presence


def test_an_absent_host_that_only_a_port_names_is_known_as_absent() -> None:
    text = SERVICE + DEPLOYMENT
    ghost = "ghost.default.svc.cluster.local"
    known_hosts = list_known_hosts(Inventory(manifest.parse(text, "r.yaml")), read(text))
    named = known_hosts.add_ports([(ghost, 9090)])
    assert ghost in named.ports
    assert named.select_absent() == {ghost}
    assert ghost not in named.service_ports
