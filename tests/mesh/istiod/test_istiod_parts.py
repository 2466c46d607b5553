"""The parts of the istiod mesh that need no istiod: programs, objects, what counts as served."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from meshproof import rules
from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady, UsageError
from meshproof.documents.manifest import parse
from meshproof.mesh.istiod import addresses, objects
from meshproof.mesh.istiod.api import Refused
from meshproof.mesh.istiod.binaries import find_binaries
from meshproof.mesh.istiod.control_plane import ControlPlane
from meshproof.mesh.istiod.objects import PROXY_PORT, Placed, make_object
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.istiod.serving import Serving
from meshproof.rules.model import RuleSet

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match:
    - uri: {regex: "/[a-z]+x"}
    route: [{destination: {host: shop}}]
"""


def make_program(folder: Path, name: str, mode: int = 0o700) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_a_missing_program_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    istiod = make_program(tmp_path, "pilot-discovery")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(UsageError, match=r"--mesh istiod needs an istiod: .*istio/pilot"):
        find_binaries(None)
    with pytest.raises(NotReady, match=r"istiod not found at /no/pilot: .* a version such as"):
        find_binaries("/no/pilot")
    with pytest.raises(
        NotReady, match=r"kube-apiserver not found in .*: .*source <.setup-envtest use -p"
    ):
        find_binaries(str(istiod))
    make_program(tmp_path, "kube-apiserver")
    with pytest.raises(NotReady, match=r"etcd not found in KUBEBUILDER_ASSETS"):
        find_binaries(str(istiod))
    etcd = make_program(tmp_path, "etcd")
    assert find_binaries(str(istiod)).etcd == etcd
    istiod.chmod(stat.S_IRUSR)
    with pytest.raises(NotReady, match="is not executable"):
        find_binaries(str(istiod))


def test_a_kind_that_it_does_not_serve_is_refused_at_its_place() -> None:
    (document,) = parse(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n", "a.yaml"
    )
    with pytest.raises(BadRules, match=r"^a.yaml:1:1: HTTPRoute of .*does not serve it yet"):
        objects.check_kinds([document])


def test_a_gateway_is_moved_to_the_one_ingress_and_to_loopback() -> None:
    (document,) = parse(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n"
        "  selector: {app: mine}\n"
        "  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]\n",
        "a.yaml",
    )
    (placed,) = objects.read_rules([document], "127.9.9.9")
    assert placed.at == "a.yaml:1"
    assert placed.body["spec"]["selector"] == dict(objects.INGRESS_LABELS)
    (server,) = placed.body["spec"]["servers"]
    assert (server["bind"], server["port"]["number"]) == ("127.9.9.9", 80)


def test_a_port_that_only_root_may_have_is_taken_by_the_proxys_own_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed:
        def __enter__(self) -> Closed:
            return self

        def __exit__(self, *_: object) -> None: ...

        def setsockopt(self, *_: int) -> None: ...

        def bind(self, address: tuple[str, int]) -> None:
            if address[1] < 1024:
                raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("meshproof.mesh.istiod.addresses.socket.socket", Closed)
    assert addresses.choose_call_ports("127.9.9.9", [80, 8080]) == {80: PROXY_PORT, 8080: 8080}
    with pytest.raises(NotReady, match=r"port 443 of 127\.9\.9\.9.*: Permission denied"):
        addresses.choose_call_ports("127.9.9.9", [80, 443])
    assert (addresses.move_privileged(80), addresses.move_privileged(8080)) == (20080, 8080)


class FakeApi:
    """An API server that istiod hears of at once, unless `is_heard` says otherwise."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.refusal = ""
        self.is_heard = True

    def apply(self, body: dict[str, Any]) -> str:
        placed = Placed(body)
        if self.refusal and placed.key[2] != "generation":
            raise Refused(self.refusal)
        version = str(len(self.bodies) + 1)
        metadata = {**body["metadata"], "resourceVersion": version}
        if self.is_heard:
            self.bodies[placed.key] = {**body, "metadata": metadata}
        return version

    def delete(self, body: dict[str, Any]) -> None:
        del self.bodies[Placed(body).key]


class FakeControlPlane:
    """An istiod that pushes at once; `status` is what it says of its one proxy."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.status: dict[str, Any] = {"proxy": "client.default"}
        for kind in ("cluster", "listener", "route"):
            self.status |= {f"{kind}_sent": "1", f"{kind}_acked": "1"}

    def ensure_namespace(self, name: str) -> None: ...

    def require_alive(self) -> None: ...

    def read_debug(self, path: str) -> str:
        if path == "/debug/configz":
            return json.dumps(list(self.api.bodies.values()))
        return json.dumps([self.status])


class FakeProxy:
    """A proxy that is where istiod has sent it, unless a field says otherwise."""

    name, proxy_id = "client", "client.default"
    has_routes, elsewhere, settled = True, False, True

    def require_alive(self) -> None: ...

    def has_routes_with(self, word: str) -> bool:
        return self.has_routes

    def listens_elsewhere(self) -> bool:
        return self.elsewhere

    def is_settled(self) -> bool:
        return self.settled

    def read_versions(self) -> str:
        return "http.rds=1"


@pytest.fixture
def control_plane(monkeypatch: pytest.MonkeyPatch) -> FakeControlPlane:
    monkeypatch.setattr(timeouts, "CONFIG_SERVED", 0.1)
    return FakeControlPlane()


def serve(control_plane: FakeControlPlane, proxy: FakeProxy, *placed: Placed) -> Serving:
    served = Serving(cast(ControlPlane, control_plane))
    served.serve(placed, [cast(IstioProxy, proxy)], RuleSet())
    return served


def make_rule(name: str = "shop") -> Placed:
    return Placed(make_object("VirtualService", "default", name, {}), "rules.yaml:7")


def test_what_is_not_wanted_any_more_is_deleted(control_plane: FakeControlPlane) -> None:
    proxy = FakeProxy()
    served = serve(control_plane, proxy, make_rule("a"), make_rule("b"))
    served.serve([make_rule("b")], [cast(IstioProxy, proxy)], RuleSet())
    assert [key[2] for key in control_plane.api.bodies] == ["a", "b", "generation"][1:]


def test_rules_that_istiod_has_not_read_are_not_served(control_plane: FakeControlPlane) -> None:
    control_plane.api.is_heard = False
    with pytest.raises(NotReady, match=r"istiod has not read .*VirtualService default shop"):
        serve(control_plane, FakeProxy(), make_rule())


def test_a_refusal_is_told_in_istiods_words_with_its_place(control_plane: FakeControlPlane) -> None:
    control_plane.api.refusal = "admission webhook denied: duplicate hosts"
    with pytest.raises(
        BadRules,
        match=r"^rules.yaml:7: VirtualService default/shop: istiod refuses it: .* duplicate hosts$",
    ):
        serve(control_plane, FakeProxy(), make_rule())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"has_routes": False}, "client has the routes of an older push"),
        ({"elsewhere": True}, "client does not listen where its Sidecar says"),
        ({"settled": False}, "client has listeners or clusters that are not settled"),
        ({"proxy_id": "other.default"}, "client is not connected to istiod"),
    ],
)
def test_a_stale_proxy_is_named(
    control_plane: FakeControlPlane, fields: dict[str, Any], words: str
) -> None:
    proxy = FakeProxy()
    vars(proxy).update(fields)
    with pytest.raises(NotReady, match=rf"not served \(stale config\) after .*: {words}"):
        serve(control_plane, proxy, make_rule())


def test_a_push_that_is_not_acknowledged_is_named(control_plane: FakeControlPlane) -> None:
    control_plane.status["route_sent"] = "2"
    with pytest.raises(NotReady, match="client has not acknowledged: route"):
        serve(control_plane, FakeProxy(), make_rule())


def test_a_rejection_is_told_in_envoys_words_with_its_place(
    control_plane: FakeControlPlane,
) -> None:
    control_plane.status["resources"] = {"RDS": {"lastError": "bad regex: /[a-z]+x"}}
    rule_set = rules.read_rules(parse(RULE, "rules.yaml"))
    with pytest.raises(
        BadRules, match=r"^rules.yaml:8: Envoy of client rejected the config of istiod: bad regex"
    ):
        Serving(cast(ControlPlane, control_plane)).serve(
            [make_rule()], [cast(IstioProxy, FakeProxy())], rule_set
        )
