"""An Istio for the run alone: what is installed, what stays, what is never touched.

Stand-ins: `fake_istioctl.py` for istioctl, `fake_kube.py` for the cluster.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.object_ref import ObjectRef
from meshproof.mesh.cluster.istio import install_record, istio
from meshproof.mesh.cluster.istio.install import InstallTask, install_istio
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.run import workloads
from meshproof.mesh.protocol import ClusterOptions, Install
from tests.mesh.cluster.fake_istioctl import (
    GATEWAY_CLASSES,
    PATIENCE,
    list_istiod_objects,
    make_body,
)
from tests.mesh.cluster.fake_kube import FakeKube

Calls = Callable[[], list[list[str]]]
ROOT = "istio-system"
CRD = "apiextensions.k8s.io/v1"
DEFAULT = {"istio.io/rev": "default"}


def somebodys() -> list[dict[str, Any]]:
    """Return an Istio that is there: of the default revision, with its definitions and gateway."""
    names = ("virtualservices.networking.istio.io", "peerauthentications.security.istio.io")
    pod = make_body("v1", "Pod", ROOT, "istiod-1", {"app": "istiod", **DEFAULT})
    pod["status"] = {"phase": "Running"}
    return [
        make_body("v1", "Namespace", "", ROOT, {}),
        *(make_body(CRD, "CustomResourceDefinition", "", name, {}) for name in names),
        make_body("v1", "ServiceAccount", ROOT, "istio-reader-service-account", {}),
        make_body("apps/v1", "Deployment", ROOT, "istiod", {"app": "istiod", **DEFAULT}),
        make_body("v1", "Service", ROOT, "istio-ingressgateway", DEFAULT),
        make_body("apps/v1", "Deployment", ROOT, "istio-ingressgateway", DEFAULT),
        *list_istiod_objects(ROOT, [ROOT]),
        make_body("coordination.k8s.io/v1", "Lease", ROOT, "istio-gateway-default", {}),
        pod,
    ]


@pytest.fixture
def cluster(
    istioctl_calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FakeKube]:
    file = tmp_path / "cluster.json"
    monkeypatch.setenv("FAKE_CLUSTER", str(file))
    monkeypatch.setattr(istio, "get_from_pod", lambda *_: "1.31.0-abc-Clean")
    for name in ("ISTIO_END", "NAMESPACE_END"):
        monkeypatch.setattr(timeouts, name, 0.3)
    return lambda *objects: FakeKube(file, *objects)


def make_task(
    kube: FakeKube, folder: Path, install_options: Install | None, **changes: Any
) -> InstallTask:
    options = ClusterOptions(install=install_options, **changes)
    return InstallTask(cast("Kube", kube), Istioctl(options, folder), options, "ab12", folder)


def operator(folder: Path) -> dict[str, Any]:
    operator_spec: dict[str, Any] = yaml.safe_load((folder / "istio-operator.yaml").read_text())[
        "spec"
    ]
    return operator_spec


def test_without_the_option_nothing_is_done(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster(*somebodys())
    before = kube.names
    with install_istio(make_task(kube, tmp_path, None)) as options:
        assert options == ClusterOptions()
        assert kube.names == before


def test_beside_another_istio_what_both_share_is_left_out_and_stays(
    cluster: Callable[..., FakeKube], istioctl_calls: Calls, tmp_path: Path
) -> None:
    kube = cluster(*somebodys())
    before = kube.objects
    install_options = Install(
        "default", "canary", "mirror.example/istio", "1.31.0", ("meshConfig.x=y",)
    )
    with install_istio(make_task(kube, tmp_path, install_options)) as options:
        assert options.revision == "canary"
        assert "Deployment istio-system/istiod-canary" in kube.names
        assert "ConfigMap meshproof-ab12-istio/installed" in kube.names
    assert sorted(map(str, kube.objects)) == sorted(map(str, before))
    spec = operator(tmp_path)
    assert spec["components"] == {
        "base": {"enabled": False},
        "ingressGateways": [{"name": "istio-ingressgateway", "enabled": False}],
        "egressGateways": [{"name": "istio-egressgateway", "enabled": False}],
    }
    assert (spec["hub"], spec["tag"]) == ("mirror.example/istio", "1.31.0")
    generate, install = istioctl_calls()
    assert generate[:2] == ["manifest", "generate"]
    assert install[0] == "install"
    assert "--set=meshConfig.x=y" in install
    assert "--set=meshConfig.x=y" in generate
    assert not [call for call in istioctl_calls() if "uninstall" in call or "--purge" in call]


def test_what_another_istio_has_written_stays_though_that_one_goes_meanwhile(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster(*somebodys())
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("default", "canary"))):
        (record,) = install_record.read_records(cast("Kube", kube), ["meshproof-ab12-istio"])
        assert record.before is None, "not a list of what is in every namespace"
        kube.delete("apps/v1", "Deployment", "istiod", ROOT)
        kube.apply(make_body("v1", "ConfigMap", "new", "istio-ca-crl", {"istio.io/config": "true"}))
    goes = {"Deployment istio-system/istiod"}
    assert kube.names == before - goes | {"ConfigMap new/istio-ca-crl"}


def test_alone_all_of_it_goes_again(cluster: Callable[..., FakeKube], tmp_path: Path) -> None:
    kube = cluster(make_body("v1", "Namespace", "", "default", {}))
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("default"))) as options:
        assert options.revision == "mp-ab12"
        assert "Service istio-system/istio-ingressgateway" in kube.names
        assert "CustomResourceDefinition /virtualservices.networking.istio.io" in kube.names
    assert kube.names == before


def test_alone_in_a_namespace_of_somebody_else_nothing_of_istiod_stays(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    """Theirs: the namespace, a ConfigMap in it of such a name, what an Istio of before has left."""
    theirs = make_body("v1", "ConfigMap", ROOT, "istio-notes", {})
    theirs["metadata"]["managedFields"] = [{"manager": "kubectl-create", "operation": "Update"}]
    secret = make_body("v1", "Secret", ROOT, "istio-ca-secret", {})
    names = [make_body("v1", "Namespace", "", name, {}) for name in ("default", ROOT)]
    kube = cluster(*names, theirs, secret)
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("default"))):
        assert "ConfigMap default/istio-ca-crl" in kube.names
        assert "Lease istio-system/istio-status-leader" in kube.names
    assert kube.names == before


def test_a_namespace_that_was_made_goes_though_definitions_were_there(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    name = "virtualservices.networking.istio.io"
    kube = cluster(make_body(CRD, "CustomResourceDefinition", "", name, {}))
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("minimal"))):
        assert "Namespace /istio-system" in kube.names
    assert kube.names == before


def test_an_istio_in_another_namespace_is_not_robbed_of_its_root(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster(*somebodys())
    before = kube.names
    with (
        pytest.raises(
            NotReady, match="there is an Istio in namespace istio-system: another in own"
        ),
        install_istio(
            make_task(kube, tmp_path, Install("minimal", "canary"), istio_namespace="own")
        ),
    ):
        pytest.fail("it must not get here")
    assert kube.names == before
    apart = Install("minimal", "canary", settings=("meshConfig.discoverySelectors[0].x=y",))
    with install_istio(make_task(kube, tmp_path, apart, istio_namespace="own")) as options:
        assert options.istio_namespace == "own"


def gateway_class(name: str) -> dict[str, Any]:
    """Return a class of Istio's controller that a user has made by kubectl."""
    body = make_body("gateway.networking.k8s.io/v1", "GatewayClass", "", name, {})
    body["metadata"]["managedFields"] = [
        {"manager": "kubectl-create", "operation": "Update"},
        {"manager": "pilot-discovery", "operation": "Update", "subresource": "status"},
    ]
    return {**body, "spec": {"controllerName": "istio.io/gateway-controller"}}


def test_the_classes_of_gateways_that_users_made_stay(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    """One of a user, one that an Istio of before has left, one that a user makes meanwhile."""
    user_class = gateway_class("istio-remote")
    user_class["metadata"]["managedFields"] = [{"manager": "pilot-discovery"}]
    kube = cluster(make_body(CRD, "CustomResourceDefinition", "", GATEWAY_CLASSES, {}), user_class)
    kube.apply(gateway_class("of-a-user"))
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("default"))):
        assert "GatewayClass /istio" in kube.names
        kube.apply(gateway_class("meanwhile"))
    assert kube.names == before | {"GatewayClass /meanwhile"}


def test_what_is_shared_stays_if_somebody_has_installed_another_meanwhile(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster()
    with install_istio(make_task(kube, tmp_path, Install("minimal"))):
        kube.apply(make_body("apps/v1", "Deployment", "other", "istiod", {"app": "istiod"}))
    assert "CustomResourceDefinition /virtualservices.networking.istio.io" in kube.names
    assert "ServiceAccount istio-system/istio-reader-service-account" in kube.names
    assert not [name for name in kube.names if "mp-ab12" in name]


def test_a_revision_that_is_there_is_used_and_stays(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    pod = make_body(
        "v1", "Pod", ROOT, "istiod-canary-1", {"app": "istiod", "istio.io/rev": "canary"}
    )
    pod["status"] = {"phase": "Running"}
    kube = cluster(*somebodys(), pod)
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("default", "canary"))) as options:
        assert (options.revision, options.install) == ("canary", None)
        assert kube.names == before
    assert kube.names == before


def test_an_object_of_somebody_else_is_in_the_way_and_nothing_is_changed(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster(*somebodys(), make_body("v1", "ConfigMap", ROOT, "istio-canary", {}))
    before = kube.names
    with (
        pytest.raises(NotReady, match=r"ConfigMap istio-system/istio-canary is there already"),
        install_istio(make_task(kube, tmp_path, Install("default", "canary"))),
    ):
        pytest.fail("it must not get here")
    assert kube.names == before


def test_one_that_does_not_come_up_is_removed_and_its_pod_named(
    cluster: Callable[..., FakeKube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ISTIOCTL_FAILS", "install")
    kube = cluster(*somebodys())
    before = kube.names
    with (
        pytest.raises(NotReady, match=r"no such thing\n.*istiod-canary-1: Pending, not ready"),
        install_istio(make_task(kube, tmp_path, Install("default", "canary"))),
    ):
        pytest.fail("it must not get here")
    assert kube.names == before


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_had_is_said_at_once(
    cluster: Callable[..., FakeKube],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
) -> None:
    monkeypatch.setenv("FAKE_ISTIOCTL_NO_IMAGE", reason)
    kube = cluster(*somebodys())
    before, since = kube.names, time.monotonic()
    expected = f'istio-system/istiod-canary-1: {reason}: Back-off pulling image "istiod-canary:9"'
    with (
        pytest.raises(NotReady, match=f"look at --mesh-install-hub.*\n{re.escape(expected)}"),
        install_istio(make_task(kube, tmp_path, Install("default", "canary", tag="9"))),
    ):
        pytest.fail("it must not get here")
    assert time.monotonic() - since < PATIENCE / 5
    assert kube.names == before
    process = int((tmp_path / "istioctl.pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_ctrl_c_while_istioctl_waits_ends_it_and_removes_all(
    cluster: Callable[..., FakeKube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ISTIOCTL_NO_IMAGE", "ContainerCreating")
    file = tmp_path / "istioctl.pid"

    def interrupted(_pod: Any) -> str:
        if file.exists() and file.read_text():
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(workloads, "describe_pull_failure", interrupted)
    kube = cluster(*somebodys())
    before = kube.names
    with (
        pytest.raises(KeyboardInterrupt),
        install_istio(make_task(kube, tmp_path, Install("default", "canary"))),
    ):
        pytest.fail("it must not get here")
    assert kube.names == before
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_an_interrupted_run_removes_it(cluster: Callable[..., FakeKube], tmp_path: Path) -> None:
    kube = cluster(*somebodys())
    before = kube.names
    with (
        pytest.raises(KeyboardInterrupt),
        install_istio(make_task(kube, tmp_path, Install("default", "canary"))),
    ):
        raise KeyboardInterrupt
    assert kube.names == before


def test_what_a_killed_run_has_left_the_next_one_removes(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster(*somebodys())
    before = kube.names
    killed = install_istio(make_task(kube, tmp_path, Install("default", "canary")), "STRICT")
    killed.__enter__()
    assert "PeerAuthentication istio-system/meshproof-canary" in kube.names
    names = ["meshproof-ab12", "meshproof-ab12-istio"]
    (record,) = install_record.read_records(cast("Kube", kube), names)
    install_record.remove_installation(cast("Kube", kube), record)
    added = kube.names - before
    assert {"Namespace /meshproof-ab12-istio", "ConfigMap meshproof-ab12-istio/installed"} <= added
    assert [name for name in added if "meshproof-ab12-istio" not in name] == []
    assert before <= kube.names


def test_what_does_not_go_is_named(
    cluster: Callable[..., FakeKube], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube = cluster(*somebodys())
    gone = FakeKube.delete

    def delete(self: FakeKube, *key: str) -> None:
        if key[1] != "Service":
            gone(self, *key)

    with (
        pytest.raises(NotReady, match=r"^Service istio-system/istiod-canary is not gone after 0 s"),
        install_istio(make_task(kube, tmp_path, Install("default", "canary"))),
    ):
        monkeypatch.setattr(FakeKube, "delete", delete)


def test_strict_is_for_this_revision_alone(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cluster(*somebodys())
    before = kube.names
    with install_istio(make_task(kube, tmp_path, Install("default", "canary")), "STRICT"):
        policy = kube.get("security.istio.io/v1", "PeerAuthentication", "meshproof-canary", ROOT)
        assert policy is not None
        assert policy["metadata"]["labels"]["istio.io/rev"] == "canary"
        assert policy["spec"] == {"mtls": {"mode": "STRICT"}}
    assert kube.names == before


def test_strict_beside_an_older_policy_of_the_whole_mesh_is_refused(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    policy = make_body("security.istio.io/v1", "PeerAuthentication", ROOT, "default", {})
    policy["spec"] = {"mtls": {"mode": "PERMISSIVE"}}
    kube = cluster(*somebodys(), policy)
    before = kube.names
    with (
        pytest.raises(NotReady, match="PeerAuthentication istio-system/default is older"),
        install_istio(make_task(kube, tmp_path, Install("default", "canary")), "STRICT"),
    ):
        pytest.fail("it must not get here")
    assert kube.names == before


def test_a_record_is_read_as_it_was_written(
    cluster: Callable[..., FakeKube], tmp_path: Path
) -> None:
    kube = cast("Kube", cluster())
    key = ObjectRef("v1", "ConfigMap", ROOT, "istio-x")
    record = install_record.Record("ab12", "x", ROOT, (key,), (key, key), True, (key,))
    install_record.write_record(kube, record, {"meshproof/run": "ab12-istio"}, tmp_path)
    assert list(install_record.read_records(kube, [install_record.record_namespace("ab12")])) == [
        record
    ]
    assert list(install_record.read_records(kube, "ab12")) == []


@pytest.mark.parametrize(
    ("option_text", "message"),
    [
        ("--mesh-install=minmal", "--mesh-install minmal: not one of default, demo"),
        ("--mesh-install=minmal", "did you mean 'minimal'?"),
        ("--mesh-install=ambient", "--mesh-install ambient: not one of"),
        ("--mesh-install-tag 1", "--mesh-install-tag says nothing without --mesh-install"),
        ("--mesh-install --mesh-revision x", "say --mesh-install-revision"),
        ("--mesh-install --mesh-install-revision default", "is somebody else's"),
        ("--mesh-install --mesh-install-revision A_b", "--mesh-install-revision A_b: expected"),
        ("--mesh-install --mesh-install-set x", "--mesh-install-set x: expected KEY=VALUE"),
    ],
)
def test_a_word_that_cannot_be_used_is_said(
    pytester: pytest.Pytester, option_text: str, message: str
) -> None:
    pytester.makepyfile("def test_it(mesh):\n    pass\n")
    done = pytester.runpytest_subprocess("--mesh", "cluster", *option_text.split())
    assert message in done.stdout.str() + done.stderr.str()
    assert done.ret != 0
