"""mTLS: the narrowest policy decides what a sidecar takes, and callers do as it takes."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.mesh.envoy import translate
from meshproof.mesh.envoy.translate import Snapshot
from meshproof.rules.model import MtlsMode
from tests.manifest_text import write_head
from tests.mesh.envoy.translating import IDENTITY, cluster, pod, snapshot

TEXT = """\
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
"""
V2 = "selector: {matchLabels: {app: reviews, version: v2}}, "


def policy(namespace: str, mode: str = "", selector: str = "", name: str = "default") -> str:
    mtls = f"mtls: {{mode: {mode}}}" if mode else ""
    return TEXT.format(name=name, namespace=namespace, spec=selector + mtls)


MESH, NAMESPACE, WORKLOAD = (
    policy("istio-system", "STRICT"),
    policy("default", "DISABLE"),
    policy("default", "PERMISSIVE", V2, "v2"),
)


def modes(snapshot: Snapshot) -> list[str]:
    """Return what reviews v1, reviews v2 and orders (in another namespace) take."""
    return [
        snapshot.resolve_mtls(pod(snapshot, name))
        for name in ("reviews-v1-0", "reviews-v2-0", "orders-v1-0")
    ]


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT", "DISABLE"])
def test_without_a_policy_the_default_holds(mode: MtlsMode) -> None:
    assert modes(snapshot(mtls=mode)) == [mode] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MESH, ["STRICT", "STRICT", "STRICT"]),
        (NAMESPACE, ["DISABLE", "DISABLE", "PERMISSIVE"]),
        (WORKLOAD, ["PERMISSIVE", "PERMISSIVE", "PERMISSIVE"]),
        (MESH + NAMESPACE, ["DISABLE", "DISABLE", "STRICT"]),
        (NAMESPACE + MESH, ["DISABLE", "DISABLE", "STRICT"]),
        (MESH + WORKLOAD, ["STRICT", "PERMISSIVE", "STRICT"]),
        (WORKLOAD + NAMESPACE + MESH, ["DISABLE", "PERMISSIVE", "STRICT"]),
    ],
    ids=["mesh", "namespace", "workload", "m+n", "n+m", "m+w", "w+n+m"],
)
def test_the_narrowest_policy_decides(text: str, expected: list[str]) -> None:
    assert modes(snapshot(text)) == expected


def test_what_says_nothing_leaves_it_to_the_wider_one() -> None:
    silent = policy("default") + policy("default", selector=V2, name="v2")
    assert modes(snapshot(MESH + silent)) == ["STRICT"] * 3
    assert modes(snapshot(silent, mtls="DISABLE")) == ["DISABLE"] * 3
    assert modes(snapshot(policy("istio-system") + NAMESPACE))[0] == "DISABLE"


def test_a_policy_of_the_root_namespace_holds_for_its_own_pods_too() -> None:
    apps = write_head("Deployment", "own", "istio-system")
    apps += (
        "spec: {selector: {matchLabels: {app: own}}, template: {metadata: {labels: {app: own}}, "
        "spec: {containers: [{image: a, ports: [{containerPort: 1}]}]}}}\n"
    )
    mesh = snapshot(MESH, apps=apps)
    assert mesh.resolve_mtls(pod(mesh, "own-0")) == "STRICT"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MESH, policy("istio-system", "DISABLE", name="more")),
        (NAMESPACE, policy("default", "STRICT", name="more")),
        (WORKLOAD, policy("default", "STRICT", "selector: {matchLabels: {app: reviews}}, ")),
    ],
    ids=["mesh", "namespace", "workload"],
)
def test_two_policies_of_the_same_width_are_refused(first: str, second: str) -> None:
    mesh = snapshot(first + second)
    with pytest.raises(BadRules) as error:
        mesh.resolve_mtls(pod(mesh, "reviews-v2-0"))
    assert str(error.value) == (
        "r.yaml:7:1: a second policy for reviews-v2-0, as wide as the one at r.yaml:2"
    )


def transports(snapshot: Snapshot, name: str) -> list[bool]:
    """Return, for each endpoint of a cluster, whether callers use mutual TLS."""
    clusters = {
        config["name"]: config for config in translate.translate_clusters(snapshot, IDENTITY)
    }
    (endpoints,) = clusters[name]["load_assignment"]["endpoints"]
    tls = {"filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}}
    return [endpoint.get("metadata") == tls for endpoint in endpoints["lb_endpoints"]]


def test_callers_use_tls_unless_the_pod_takes_none() -> None:
    assert transports(snapshot(), cluster("")) == [True, True, True]
    assert transports(snapshot(NAMESPACE), cluster("")) == [False, False, False]
    assert transports(snapshot(NAMESPACE + WORKLOAD), cluster("")) == [False, True, False]


def test_callers_take_only_the_identities_of_the_pods_behind_a_cluster() -> None:
    clusters = {
        config["name"]: config for config in translate.translate_clusters(snapshot(), IDENTITY)
    }
    tls, plain = clusters[cluster("")]["transport_socket_matches"]
    context = tls["transport_socket"]["typed_config"]["common_tls_context"]
    names = context["validation_context"]["match_typed_subject_alt_names"]
    assert names == [
        {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/reviews"}}
    ]
    assert plain["match"] == {}
    assert plain["transport_socket"] == translate.PLAINTEXT_SOCKET


def test_modes_of_ports_are_not_served() -> None:
    text = TEXT.format(name="v2", namespace="default", spec=f"{V2}portLevelMtls: {{80: {{}}}}")
    with pytest.raises(BadRules, match=r"^r.yaml:2:1: spec.portLevelMtls is not supported yet$"):
        snapshot(text)
