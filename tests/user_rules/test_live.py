"""Rules of a live namespace: read as their authors wrote them, found by their name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshproof.base.errors import BadRules, NotReady, UsageError
from meshproof.cli import main
from meshproof.mesh.protocol import ClusterOptions
from meshproof.user_rules import live, loading
from tests.user_rules.live_objects import SHOP, Cluster, service, split, stored


@pytest.mark.parametrize(
    ("path", "context", "namespaces"),
    [
        ("cluster:shop", "", ("shop",)),
        ("cluster:lab/shop,pay", "lab", ("shop", "pay")),
        ("cluster:arn:aws:eks:eu:1:cluster/lab/shop", "arn:aws:eks:eu:1:cluster/lab", ("shop",)),
    ],
)
def test_a_source_names_a_context_and_namespaces(
    path: str, context: str, namespaces: tuple[str, ...]
) -> None:
    found = live.parse_source(path)
    assert (found.context, found.namespaces) == (context, namespaces)


@pytest.mark.parametrize("path", ["cluster:", "cluster:lab/", "cluster:,"])
def test_a_source_without_a_namespace_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=r"expected cluster:\[CONTEXT/\]NAMESPACE"):
        live.parse_source(path)


@pytest.mark.usefixtures("cluster")
def test_objects_are_as_their_authors_wrote_them() -> None:
    found = live.read_texts(["cluster:shop"])
    assert sorted(found) == [
        "cluster:lab/shop Deployment/cart-v1",
        "cluster:lab/shop Deployment/cart-v2",
        "cluster:lab/shop DestinationRule/cart",
        "cluster:lab/shop Service/cart",
        "cluster:lab/shop VirtualService/cart",
    ]
    said = "\n".join(found.values())
    set_by_server = ("managedFields", "status", "uid", "resourceVersion", "last-applied", "null")
    for word in set_by_server:
        assert word not in said


def test_the_first_version_that_is_served_is_asked_for(cluster: Cluster) -> None:
    live.read_texts(["cluster:shop"])
    assert ("networking.istio.io/v1beta1", "Sidecar") in cluster.asked
    assert ("networking.istio.io/v1beta1", "VirtualService") not in cluster.asked


def test_what_nobody_wrote_or_others_serve_is_left_out(cluster: Cluster) -> None:
    label = {"gateway.networking.k8s.io/gateway-name": "in"}
    theirs = stored("networking.k8s.io/v1", "Ingress", "theirs", {})
    cluster.objects = (*SHOP, service("in-istio", labels=label), theirs)
    assert len(live.read_texts(["cluster:shop"])) == len(SHOP)


def ingress(name: str, chosen: str, **annotations: str) -> dict[str, Any]:
    backend = {"service": {"name": "cart", "port": {"number": 80}}}
    paths = [{"path": f"/{name}", "pathType": "Exact", "backend": backend}]
    spec = {"ingressClassName": chosen, "rules": [{"host": "a.example", "http": {"paths": paths}}]}
    return stored("networking.k8s.io/v1", "Ingress", name, spec, annotations=annotations)


def ingress_class(name: str, controller: str) -> dict[str, Any]:
    spec = {"controller": controller}
    found = stored("networking.k8s.io/v1", "IngressClass", name, spec)
    del found["metadata"]["namespace"]
    return found


OURS = "istio.io/ingress-controller"


@pytest.mark.parametrize(
    ("one", "classes", "is_read"),
    [
        (ingress("a", "public"), [ingress_class("public", OURS)], True),
        (ingress("a", "public"), [ingress_class("public", "k8s.io/ingress-nginx")], False),
        (ingress("a", "public"), [], False),
        (ingress("a", "istio"), [], True),
        (ingress("a", "istio"), [ingress_class("istio", "k8s.io/ingress-nginx")], False),
        (
            ingress("a", "public", **{"kubernetes.io/ingress.class": "nginx"}),
            [ingress_class("public", OURS)],
            False,
        ),
    ],
    ids=["class", "of nginx", "no class", "name", "name of nginx", "annotation first"],
)
def test_an_ingress_is_read_if_istio_serves_it(
    cluster: Cluster, one: dict[str, Any], classes: list[dict[str, Any]], is_read: bool
) -> None:
    cluster.objects = (*SHOP, one, *classes)
    assert ("cluster:lab/shop Ingress/a" in live.read_texts(["cluster:shop"])) is is_read


def test_cases_follow_from_an_ingress_by_its_class(cluster: Cluster) -> None:
    """Its class is read with it, once, also for two namespaces."""
    both = (ingress("a", "public"), ingress("b", "public"))
    cluster.objects = (*SHOP, *both, ingress_class("public", OURS))
    classes = [name for name in live.read_texts(["cluster:shop,pay"]) if "IngressClass" in name]
    assert classes == ["cluster:lab/ IngressClass/public"]
    found = loading.load(["cluster:shop"])
    hosts = {case.call.host_header for case in found.plan.cases}
    assert "a.example" in hosts
    assert found.unproven == ()


def test_that_no_class_says_that_istio_serves_an_ingress_is_named(cluster: Cluster) -> None:
    cluster.objects = (*SHOP, ingress("a", "istio"))
    (unproven,) = loading.load(["cluster:shop"]).unproven
    assert str(unproven.at).startswith("cluster:lab/shop Ingress/a:")
    assert "spec.ingressClassName is not proven by requests: there is no IngressClass" in str(
        unproven
    )


def test_a_class_that_may_not_be_looked_at_is_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(self: Cluster, api: str, kind: str, name: str, namespace: str = "") -> Any:
        raise NotReady(f"not allowed to get {kind} {name}")

    monkeypatch.setattr(Cluster, "get", get)
    cluster.objects = (*SHOP, ingress("a", "istio"))
    assert "cluster:lab/shop Ingress/a" in live.read_texts(["cluster:shop"])
    cluster.objects = (*SHOP, ingress("a", "public"))
    with pytest.raises(NotReady, match="not allowed to get IngressClass public"):
        live.read_texts(["cluster:shop"])


def test_the_context_of_the_path_comes_first(cluster: Cluster) -> None:
    live.read_texts(["cluster:shop"], ClusterOptions("file", "staging"))
    assert cluster.__dict__["reached"] == ClusterOptions("file", "staging")
    live.read_texts(["cluster:prod/shop"], ClusterOptions("file", "staging"))
    assert cluster.__dict__["reached"] == ClusterOptions("file", "prod")


@pytest.mark.usefixtures("cluster")
def test_cases_follow_from_live_rules() -> None:
    (split,) = (case for case in loading.load(["cluster:shop"]).plan.cases if case.needs_judge)
    assert split.outcome_shares == (0.5, 0.5)
    assert str(split.at).startswith("cluster:lab/shop VirtualService/cart:")


def test_lint_names_the_object(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.objects = (*SHOP[:-1], split(v1=50, v9=50))
    assert main(["lint", "cluster:shop"]) == 79
    said = capsys.readouterr().out
    assert "cluster:lab/shop VirtualService/cart:" in said
    assert "MP0501" in said
    assert "5 objects in a cluster." in said


@pytest.mark.usefixtures("cluster")
def test_lint_of_live_rules_without_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "cluster:shop", "--suppress", "MP0203"]) == 0, capsys.readouterr().out


@pytest.mark.usefixtures("cluster")
def test_plan_lists_live_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "cluster:lab/shop"]) == 0
    assert "cluster:lab/shop VirtualService/cart" in capsys.readouterr().out


def test_a_namespace_that_is_not_there_is_named(cluster: Cluster) -> None:
    cluster.objects = ()
    with pytest.raises(UsageError, match="context lab has no namespace shpo; did you mean 'shop'"):
        live.read_texts(["cluster:shpo"])


def test_a_namespace_that_holds_nothing_does_not_pass(cluster: Cluster) -> None:
    cluster.objects = ()
    with pytest.raises(BadRules, match="nothing to check in namespace shop of context lab"):
        live.read_texts(["cluster:shop"])


def test_no_cluster_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(NotReady):
        live.read_texts(["cluster:shop"])
    assert main(["lint", "cluster:shop"]) == 69
    assert "no cluster" in capsys.readouterr().err
