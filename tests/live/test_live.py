"""Rules of a live namespace: read as their authors wrote them, found by their name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshproof import live, own
from meshproof.cli import main
from meshproof.errors import BadRules, NotReady, UsageError
from meshproof.mesh.cluster.client import Kube
from meshproof.mesh.protocol import ClusterOptions

ISTIO = "networking.istio.io/v1"


def stored(api: str, kind: str, name: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    """Return an object as an API server gives it."""
    note = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    metadata = {"name": name, "namespace": "shop", "uid": "1", "resourceVersion": "7", **metadata}
    metadata["annotations"] = {**note, **metadata.get("annotations", {})}
    metadata["managedFields"] = [{"manager": "kubectl"}]
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec, "status": {}}


def service(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
    return stored("v1", "Service", name, spec, **metadata)


def deployment(version: str) -> dict[str, Any]:
    carried = {"labels": {"app": "cart", "version": version}, "creationTimestamp": None}
    spec = {
        "selector": {"matchLabels": {"app": "cart", "version": version}},
        "template": {"metadata": carried, "spec": {"containers": [{"name": "app"}]}},
    }
    return stored("apps/v1", "Deployment", f"cart-{version}", spec)


def split(**weights: Any) -> dict[str, Any]:
    route = [
        {"destination": {"host": "cart", "subset": name}, "weight": weight}
        for name, weight in weights.items()
    ]
    return stored(ISTIO, "VirtualService", "cart", {"hosts": ["cart"], "http": [{"route": route}]})


SUBSETS = stored(
    ISTIO,
    "DestinationRule",
    "cart",
    {"host": "cart", "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]},
)
SHOP = [service("cart"), deployment("v1"), deployment("v2"), SUBSETS, split(v1=50, v2=50)]


class Cluster:
    """What Kube gives of a cluster; it can list and get, and nothing else."""

    place = "context lab"

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = objects
        self.asked: list[tuple[str, str]] = []

    def has(self, api: str, kind: str) -> bool:
        return api != "networking.istio.io/v1" or kind != "Sidecar"

    def list(self, api: str, kind: str, namespace: str = "", labels: str = "") -> list[Any]:
        self.asked.append((api, kind))
        if kind == "Namespace":
            return [{"metadata": {"name": "shop"}}]
        found = [one for one in self.objects if (one["apiVersion"], one["kind"]) == (api, kind)]
        return [json.loads(json.dumps(one)) for one in found]

    def get(self, api: str, kind: str, name: str, namespace: str = "") -> Any:
        if kind == "Namespace":
            return {} if name == "shop" else None
        found = [one for one in self.list(api, kind) if one["metadata"]["name"] == name]
        return found[0] if found else None


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster that every context leads to; `reached` has the options."""
    one = Cluster(*SHOP)

    @contextlib.contextmanager
    def connected(options: ClusterOptions, folder: Path) -> Iterator[Cluster]:
        one.__dict__["reached"] = options
        yield one

    monkeypatch.setattr(Kube, "connected", connected)
    return one


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
    found = live.source(path)
    assert (found.context, found.namespaces) == (context, namespaces)


@pytest.mark.parametrize("path", ["cluster:", "cluster:lab/", "cluster:,"])
def test_a_source_without_a_namespace_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=r"expected cluster:\[CONTEXT/\]NAMESPACE"):
        live.source(path)


@pytest.mark.usefixtures("cluster")
def test_objects_are_as_their_authors_wrote_them() -> None:
    found = live.texts(["cluster:shop"])
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
    live.texts(["cluster:shop"])
    assert ("networking.istio.io/v1beta1", "Sidecar") in cluster.asked
    assert ("networking.istio.io/v1beta1", "VirtualService") not in cluster.asked


def test_what_nobody_wrote_or_others_serve_is_left_out(cluster: Cluster) -> None:
    label = {"gateway.networking.k8s.io/gateway-name": "in"}
    theirs = stored("networking.k8s.io/v1", "Ingress", "theirs", {})
    cluster.objects = (*SHOP, service("in-istio", labels=label), theirs)
    assert len(live.texts(["cluster:shop"])) == len(SHOP)


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
    assert ("cluster:lab/shop Ingress/a" in live.texts(["cluster:shop"])) is is_read


def test_cases_follow_from_an_ingress_by_its_class(cluster: Cluster) -> None:
    """Its class is read with it, once, also for two namespaces."""
    both = (ingress("a", "public"), ingress("b", "public"))
    cluster.objects = (*SHOP, *both, ingress_class("public", OURS))
    classes = [name for name in live.texts(["cluster:shop,pay"]) if "IngressClass" in name]
    assert classes == ["cluster:lab/ IngressClass/public"]
    found = own.load(["cluster:shop"])
    hosts = {case.call.sent_to for case in found.plan.cases}
    assert "a.example" in hosts
    assert found.unproven == ()


def test_that_no_class_says_that_istio_serves_an_ingress_is_named(cluster: Cluster) -> None:
    cluster.objects = (*SHOP, ingress("a", "istio"))
    (unproven,) = own.load(["cluster:shop"]).unproven
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
    assert "cluster:lab/shop Ingress/a" in live.texts(["cluster:shop"])
    cluster.objects = (*SHOP, ingress("a", "public"))
    with pytest.raises(NotReady, match="not allowed to get IngressClass public"):
        live.texts(["cluster:shop"])


def test_the_context_of_the_path_comes_first(cluster: Cluster) -> None:
    live.texts(["cluster:shop"], ClusterOptions("file", "staging"))
    assert cluster.__dict__["reached"] == ClusterOptions("file", "staging")
    live.texts(["cluster:prod/shop"], ClusterOptions("file", "staging"))
    assert cluster.__dict__["reached"] == ClusterOptions("file", "prod")


@pytest.mark.usefixtures("cluster")
def test_cases_follow_from_live_rules() -> None:
    (split,) = (case for case in own.load(["cluster:shop"]).plan.cases if case.split)
    assert split.chances == (0.5, 0.5)
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
        live.texts(["cluster:shpo"])


def test_a_namespace_that_holds_nothing_does_not_pass(cluster: Cluster) -> None:
    cluster.objects = ()
    with pytest.raises(BadRules, match="nothing to check in namespace shop of context lab"):
        live.texts(["cluster:shop"])


def test_no_cluster_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(NotReady):
        live.texts(["cluster:shop"])
    assert main(["lint", "cluster:shop"]) == 69
    assert "no cluster" in capsys.readouterr().err
