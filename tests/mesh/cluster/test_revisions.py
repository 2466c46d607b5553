"""Which istiod a run is about, where several revisions stand side by side."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, cast

import pytest

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.istio import control_plane
from meshproof.mesh.cluster.istio.control_plane import ControlPlane
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.protocol import Aspect, ClusterOptions
from tests.mesh.cluster.fake_kube import FakeKube

SYSTEM = "istio-system"


class Reader(FakeKube):
    """A cluster of which a user may, or may not, read the webhooks."""

    reads = True

    def has_right(self, verb: str, group: str, resource: str) -> bool:
        right = ("list", "admissionregistration.k8s.io", "mutatingwebhookconfigurations")
        assert (verb, group, resource) == right
        return self.reads

    def list(self, api_version: str, kind: str, *arguments: str, **options: str) -> list[Any]:
        assert self.reads or kind != "MutatingWebhookConfiguration", "it may not be read"
        return super().list(api_version, kind, *arguments, **options)


def istiod(name: str, revision: str = "", crashes: bool = False) -> dict[str, Any]:
    labels = {"app": "istiod", **({"istio.io/rev": revision} if revision else {})}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}} if crashes else {"running": {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": labels},
        "spec": {"containers": [{"name": "discovery"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False" if crashes else "True"}],
            "containerStatuses": [{"name": "discovery", "ready": not crashes, "state": waiting}],
        },
    }


def tag(name: str, revision: str, namespace: str = SYSTEM) -> list[dict[str, Any]]:
    """Return what `istioctl tag set` makes: a webhook and a Service."""
    labels = {"istio.io/tag": name, "istio.io/rev": revision}
    client = {"service": {"name": f"istiod-{revision}", "namespace": namespace}}
    metadata = {"name": f"istio-revision-tag-{name}", "labels": labels}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": metadata,
            "webhooks": [{"name": "rev.namespace", "clientConfig": client}],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**metadata, "name": f"istiod-{name}", "namespace": namespace},
            "spec": {"selector": {"istio.io/rev": revision}},
        },
    ]


#: In the order of an API server, by name: the one that injects nothing comes first.
CANARY = istiod("istiod-1-31-canary-0", "1-31-canary", crashes=True)
OLD = istiod("istiod-7f-0", "default")
STABLE = istiod("istiod-stable-0", "stable")


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A cluster whose istiods tell their own name as their version."""

    def answered(kube: object, pod: str, namespace: str, port: int, path: str) -> str:
        if "canary" in pod:
            raise NotReady("it crashes and answers nothing")
        return json.dumps([]) if path == "/debug/syncz" else f"{pod.removesuffix('-0')}-x-Clean"

    monkeypatch.setattr(importlib.import_module(Istio.__module__), "get_from_pod", answered)
    monkeypatch.setattr(control_plane, "get_from_pod", answered)
    return Reader(tmp_path / "objects.json")


def find_istio(kube: Reader, *objects: dict[str, Any], revision: str = "") -> Istio:
    for body in objects:
        kube.apply(body)
    return Istio.find(cast("Any", kube), ClusterOptions(revision=revision))


@pytest.mark.parametrize("old", [OLD, istiod("istiod-7f-0")], ids=["labelled", "without a label"])
def test_a_canary_that_injects_nothing_of_the_run_is_not_its_istiod(
    kube: Reader, old: dict[str, Any]
) -> None:
    istio = find_istio(kube, CANARY, old)
    assert istio.version == "istiod-7f"
    assert istio.notes[1] == "istiod istiod-7f (namespace istio-system, revision default)"
    assert istio.injection_labels == {"istio-injection": "enabled"}
    plane = ControlPlane(cast("Any", kube), istio, Istioctl(ClusterOptions(), Path()), [], "")
    wrong = plane.inspect(Aspect.READY).faults
    assert not [fault for fault in wrong if "istiod-" in fault]
    assert plane._read_sync().proxies == {}


@pytest.mark.usefixtures("short_waits")
def test_the_one_that_is_asked_for_is_looked_at(kube: Reader) -> None:
    istio = find_istio(kube, CANARY, istiod("istiod-1-31-canary-1", "1-31-canary"), OLD)
    assert istio.injecting_revision == "default"
    plane = ControlPlane(
        cast("Any", kube),
        Istio(SYSTEM, "1-31-canary", "", (), "a/b", "1-31-canary"),
        Istioctl(ClusterOptions(), Path()),
        [],
        "",
    )
    wrong = plane.inspect(Aspect.READY).faults
    assert [fault for fault in wrong if "istiod-1-31-canary-0: " in fault]


@pytest.mark.parametrize("reads", [True, False], ids=["by its webhook", "by its Service"])
def test_the_default_tag_names_it(kube: Reader, reads: bool) -> None:
    kube.reads = reads
    istio = find_istio(kube, CANARY, OLD, STABLE, *tag("default", "stable"))
    assert (istio.version, istio.injecting_revision, istio.revision_suffix) == (
        "istiod-stable",
        "stable",
        "stable",
    )
    assert istio.injection_labels == {"istio-injection": "enabled"}


def test_a_tag_of_another_mesh_names_none_of_this(kube: Reader) -> None:
    assert (
        find_istio(kube, OLD, STABLE, *tag("default", "stable", "other")).injecting_revision
        == "default"
    )


def test_a_tag_may_be_asked_for(kube: Reader) -> None:
    istio = find_istio(kube, CANARY, STABLE, *tag("prod", "stable"), revision="prod")
    assert (istio.version, istio.injecting_revision) == ("istiod-stable", "stable")
    assert istio.injection_labels == {"istio.io/rev": "prod"}


@pytest.mark.parametrize(
    ("bodies", "revision", "message"),
    [
        (
            [],
            "",
            r"revisions 1-31-canary, stable, and none of them is the default.*--mesh-revision",
        ),
        ([], "stabel", r"no istiod of revision stabel; there are 1-31-canary, stable.*'stable'"),
        (tag("prod", "gone"), "prod", "the tag prod names revision gone, of which there is no"),
    ],
    ids=["none is the default", "misspelt", "a tag of one that is gone"],
)
def test_where_none_fits_it_is_said_which_there_are(
    kube: Reader, bodies: list[dict[str, Any]], revision: str, message: str
) -> None:
    with pytest.raises(NotReady, match=message):
        find_istio(kube, CANARY, STABLE, *bodies, revision=revision)


def test_one_alone_needs_no_tag_and_no_right(kube: Reader) -> None:
    kube.reads = False
    assert find_istio(kube, STABLE).injecting_revision == "stable"
