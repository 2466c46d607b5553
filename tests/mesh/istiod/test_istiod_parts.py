"""The parts of the istiod mesh that need no istiod: programs, objects, what counts as served."""

from __future__ import annotations

import itertools
import json
import stat
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509

from meshproof import rules
from meshproof.base import timeouts
from meshproof.base.errors import BadRules, NotReady, ProcessEnded, UsageError
from meshproof.documents.manifest import parse
from meshproof.documents.value import At
from meshproof.inventory.gateway_pods import read_gateway_pods
from meshproof.mesh.envoy.certificates import Authority
from meshproof.mesh.istiod import addresses, objects
from meshproof.mesh.istiod.api import ApiClient, Refused, make_path
from meshproof.mesh.istiod.binaries import find_binaries
from meshproof.mesh.istiod.control_plane import ControlPlane
from meshproof.mesh.istiod.gateway_certificates import GatewayCertificates
from meshproof.mesh.istiod.objects import PROXY_PORT, Placed, make_object
from meshproof.mesh.istiod.proxy import IstioProxy
from meshproof.mesh.istiod.rule_mesh import make_client_sidecar
from meshproof.mesh.istiod.serving import Serving
from meshproof.mesh.process.processes import Workspace
from meshproof.oracle.case import Case
from meshproof.oracle.conditions import Call, TlsCall
from meshproof.rules.known_hosts import read_valid_sidecars
from meshproof.rules.model import Proxy, RuleSet
from tests.sidecar_texts import write_sidecar

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


def make_case(call: Call) -> Case:
    """Return a case that asks a call."""
    return Case("a", "a", call, (), 404, None, At("a.yaml", 1), At("a.yaml", 1))


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
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n", "a.yaml"
    )
    with pytest.raises(BadRules, match=r"^a.yaml:1:1: Ingress of .*does not serve it yet"):
        objects.check_kinds([document])


def test_a_gateway_is_moved_to_the_one_ingress_and_to_loopback() -> None:
    (document,) = parse(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n"
        "  selector: {istio: ingressgateway}\n"
        "  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]\n",
        "a.yaml",
    )
    (placed,) = objects.read_rules([document], "127.9.9.9")
    assert placed.at == "a.yaml:1"
    assert placed.body["spec"]["selector"] == dict(objects.INGRESS_LABELS)
    (server,) = placed.body["spec"]["servers"]
    assert (server["bind"], server["port"]["number"]) == ("127.9.9.9", 80)


GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec:
  selector: {SELECTOR}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: ['*']
    tls: {mode: SIMPLE, credentialName: c}
"""


def test_servers_with_tls_and_gateways_of_other_proxies_are_left_out() -> None:
    usual, other = (
        parse(GATEWAY.replace("SELECTOR", selector), "a.yaml")
        for selector in ("istio: ingressgateway", "app: own")
    )
    (placed,) = objects.read_rules(usual, "127.9.9.9")
    assert [server["port"]["number"] for server in placed.body["spec"]["servers"]] == [80]
    assert objects.read_rules(other, "127.9.9.9") == []


EDGE_PODS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge}
spec:
  template: {metadata: {labels: {app: own, istio: ingressgateway}}}
"""


def test_another_selector_of_the_usual_proxies_is_served_by_the_ingress() -> None:
    usual, other = (
        GATEWAY.replace("SELECTOR", selector).replace("name: a}", f"name: {name}}}")
        for name, selector in (("a", "istio: ingressgateway"), ("b", "app: own"))
    )
    other = other.replace("'*'", "b.example")  # the same hosts would collide
    pods = parse(EDGE_PODS, "a.yaml")
    documents = parse(f"{usual}---\n{other}", "a.yaml")
    gateways = rules.collect_rules(documents, gateway_pods=read_gateway_pods(pods)).gateways
    assert [gateway.proxies[0].name for gateway in gateways] == ["", ""]
    placed = objects.read_rules(documents, "127.9.9.9", gateways=gateways)
    assert [entry.body["metadata"]["name"] for entry in placed] == ["a", "b"]
    assert len(objects.read_rules(documents, "127.9.9.9")) == 1  # the model alone knows pods


def test_each_server_with_tls_gets_a_secret_with_a_certificate_of_the_run(tmp_path: Path) -> None:
    call = Call(
        "b.example", gateway="default/a", tls=TlsCall("default/a#1", "SIMPLE", "b.x", False)
    )
    certificates = GatewayCertificates(Authority(tmp_path), [make_case(call)])
    documents = parse(
        GATEWAY.replace("SELECTOR", "istio: ingressgateway")
        + "  - port: {number: 443, name: own, protocol: HTTPS}\n    hosts: [shop/c.example]\n"
        "    tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, "
        "minProtocolVersion: TLSV1_3, subjectAltNames: [c]}\n",
        "a.yaml",
    )
    first, second, gateway = objects.read_rules(documents, "127.9.9.9", certificates)
    names = [secret.body["metadata"]["name"] for secret in (first, second)]
    assert names == ["meshproof-default-a-1", "meshproof-default-a-2"]
    plain, *servers = gateway.body["spec"]["servers"]
    assert "tls" not in plain
    assert [server["tls"] for server in servers] == [
        {"mode": "SIMPLE", "credentialName": names[0]},
        {"mode": "MUTUAL", "minProtocolVersion": "TLSV1_3", "credentialName": names[1]},
    ]
    for secret, hosts in ((first, ["b.x"]), (second, ["c.example"])):
        chain = x509.load_pem_x509_certificate(b64decode(secret.body["data"]["tls.crt"]))
        name = chain.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert name.get_values_for_type(x509.DNSName) == hosts


def test_cases_over_tls_and_at_other_proxies_are_not_supported_by_name() -> None:
    assert objects.explain_unserved(Call("a.example", gateway="shop/a")) == ""
    assert objects.explain_unserved(Call("web")) == ""
    tls = TlsCall("shop/a#1", "SIMPLE", "a.example", False)
    assert objects.explain_unserved(Call("a.example", gateway="shop/a", tls=tls)) == ""
    labels = ((objects.GATEWAY_NAME_LABEL, "a"),)
    listener = Call("a.example", gateway="shop/a", proxy=Proxy("shop/a", labels=labels), tls=tls)
    assert objects.explain_unserved(listener) == (
        "TLS at a Gateway of Gateway API: the istiod mesh does not serve it yet"
    )
    own = Call("a.example", gateway="shop/a", proxy=Proxy("app=own"))
    assert objects.explain_unserved(own).startswith("a Gateway for proxies with app=own: ")


def test_no_hash_and_no_ejection_sends_all_requests_of_the_run_to_one_pod() -> None:
    (document,) = parse(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n"
        "  host: a\n"
        "  subsets: [{name: v1, labels: {v: a}, trafficPolicy: {loadBalancer: {consistentHash: "
        "{useSourceIp: true}, simple: RANDOM}, outlierDetection: {consecutive5xxErrors: 2}}}]\n",
        "a.yaml",
    )
    (placed,) = objects.read_rules([document], "127.9.9.9")
    (subset,) = placed.body["spec"]["subsets"]
    assert subset["trafficPolicy"] == {"loadBalancer": {"simple": "RANDOM"}}


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
    assert addresses.is_unprivileged("127.9.9.9")


def test_a_caller_imports_at_other_ports_what_the_users_sidecar_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rule at port 80 may lead to a port 8080: with ports alone istiod has no cluster for it.
    text = write_sidecar("default", "web/*", port=8080) + "  - hosts: [./*, ~bank/*]\n"
    sidecars = read_valid_sidecars(parse(text, "sidecar.yaml"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Workspace.create() as workspace:
        proxy = IstioProxy("p", workspace, tmp_path, 1, "127.9.9.9", "default", ())
        rules_seen = RuleSet(sidecars=sidecars)
        body = make_client_sidecar(rules_seen, ("default", ()), proxy, {80: 80, 8080: 8080})
    imports = [
        (entry.get("port", {}).get("number"), entry["hosts"]) for entry in body["spec"]["egress"]
    ]
    assert imports == [
        (80, ["./*", "~bank/*"]),
        (8080, ["web/*"]),
        (objects.MARKER_PORT, ["*/*"]),
        (None, ["./*", "~bank/*"]),
    ]


class FakeApi:
    """An API server that istiod hears of at once, unless `is_heard` says otherwise."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.order: list[str] = []
        self.refusal = ""
        self.is_heard = True
        self.conditions: list[dict[str, Any]] = []

    def apply(self, body: dict[str, Any]) -> str:
        placed = Placed(body)
        if self.refusal and placed.key[2] != "generation":
            raise Refused(self.refusal)
        version = str(len(self.bodies) + 1)
        metadata = {**body["metadata"], "resourceVersion": version, "generation": 2}
        self.order.append(placed.key[2])
        if self.is_heard:
            self.bodies[placed.key] = {**body, "metadata": metadata}
        return version

    def get(self, path: str) -> dict[str, Any]:
        (body,) = (body for body in self.bodies.values() if make_path(body) == path)
        return {**body, "status": {"parents": [{"conditions": self.conditions}]}}

    def delete(self, body: dict[str, Any]) -> None:
        del self.bodies[Placed(body).key]


class FakeControlPlane:
    """An istiod that pushes at once; `status` is what it says of its one proxy."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.status: dict[str, Any] = {"proxy": "client.default"}
        for kind in ("cluster", "listener", "route"):
            self.status |= {f"{kind}_sent": "1", f"{kind}_acked": "1"}
        self.own_bodies: list[dict[str, Any]] = []
        self.hosts: list[str] = []

    def ensure_namespace(self, name: str) -> None: ...

    def require_alive(self) -> None: ...

    def read_debug(self, path: str) -> str:
        if path == "/debug/configz":
            bodies = [body for key, body in self.api.bodies.items() if key[0] != "Service"]
            return json.dumps([*bodies, *self.own_bodies])
        if path == "/debug/registryz":
            registry = {"ServiceRegistry": "Kubernetes"}
            return json.dumps([{"hostname": host, "Attributes": registry} for host in self.hosts])
        return json.dumps([self.status])


class FakeProxy:
    """A proxy that is where istiod has sent it, unless a field says otherwise."""

    name, proxy_id = "client", "client.default"
    has_routes, elsewhere, settled = True, False, True

    def __init__(self, rejections: Iterable[int] = itertools.repeat(0)) -> None:
        self.rejections = iter(rejections)

    def require_alive(self) -> None: ...

    def count_rejections(self) -> int:
        return next(self.rejections)

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


def test_objects_of_a_kind_are_applied_in_the_order_of_one_second(
    control_plane: FakeControlPlane,
) -> None:
    serve(control_plane, FakeProxy(), make_rule("b"), make_rule("c"), make_rule("a"))
    assert control_plane.api.order == ["a", "b", "c", "generation"]


def test_an_older_object_is_applied_in_an_earlier_second_than_a_younger_one_before_it_by_name(
    control_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied_before: list[list[str]] = []
    monkeypatch.setattr(
        "meshproof.mesh.istiod.serving._wait_for_next_second",
        lambda: applied_before.append([*control_plane.api.order]),
    )
    old, young = (
        Placed(make_rule(name).body, created=f"2026-01-0{day}T00:00:00Z")
        for name, day in (("b", 1), ("a", 2))
    )
    serve(control_plane, FakeProxy(), young, make_rule("c"), old)
    assert control_plane.api.order == ["b", "a", "c", "generation"]
    assert applied_before == [["b"]]


def make_route() -> Placed:
    return Placed(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "a", "namespace": "default"},
        }
    )


def test_a_route_is_read_once_istiod_says_what_it_made_of_this_content(
    control_plane: FakeControlPlane,
) -> None:
    control_plane.api.conditions = [{"type": "Accepted", "observedGeneration": 1}]
    with pytest.raises(NotReady, match=r"has not read .*: HTTPRoute.gateway.networking.k8s.io"):
        serve(control_plane, FakeProxy(), make_route())
    control_plane.api.bodies.clear()
    control_plane.api.conditions = [{"type": "Accepted", "observedGeneration": 2}]
    serve(control_plane, FakeProxy(), make_route())


def test_a_route_is_applied_after_istiod_has_the_services_that_it_may_name(
    control_plane: FakeControlPlane,
) -> None:
    service = objects.make_service("default", "shop", [80])
    with pytest.raises(NotReady, match=r"has not read .*: Service default shop"):
        serve(control_plane, FakeProxy(), make_route(), service)
    assert control_plane.api.order == ["shop"]
    control_plane.hosts = ["shop.default.svc.cluster.local"]
    control_plane.api.conditions = [{"type": "Accepted", "observedGeneration": 2}]
    serve(control_plane, FakeProxy(), make_route(), service)


def test_what_istiod_makes_of_gateway_api_is_none_of_ours(control_plane: FakeControlPlane) -> None:
    made = make_rule("a~0~istio-autogenerated-k8s-gateway").body
    control_plane.own_bodies = [made]
    serve(control_plane, FakeProxy(), make_rule())
    control_plane.own_bodies = [make_rule("left").body]
    with pytest.raises(NotReady, match=r"has not read .*: VirtualService default left"):
        serve(control_plane, FakeProxy(), make_rule())


def test_a_gateway_of_gateway_api_has_a_service_of_its_own() -> None:
    (document,) = parse(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n"
        "metadata: {name: gate, namespace: shop}\nspec: {gatewayClassName: istio}\n",
        "a.yaml",
    )
    (placed,) = objects.read_rules([document], "127.9.9.9")
    (address,) = placed.body["spec"]["addresses"]
    assert address == {"type": "Hostname", "value": "gate-istio.shop.svc.cluster.local"}


def test_a_rejection_of_an_earlier_config_is_no_error_of_this_one(
    control_plane: FakeControlPlane,
) -> None:
    control_plane.status["resources"] = {"RDS": {"lastError": "bad regex"}}
    proxy = FakeProxy()
    proxy.rejections = itertools.repeat(1)
    serve(control_plane, proxy, make_rule())
    proxy.rejections = itertools.chain([1], itertools.repeat(2))
    with pytest.raises(BadRules, match="bad regex"):
        serve(control_plane, proxy, make_rule())


def test_a_filter_of_istio_is_named_with_what_to_set(control_plane: FakeControlPlane) -> None:
    error = "Didn't find a registered implementation for 'istio.alpn' with type URL: 'x'"
    control_plane.status["resources"] = {"LDS": {"lastError": error}}
    with pytest.raises(
        NotReady,
        match=r"no filter istio.alpn, .*: set PILOT_ENABLE_ALPN_FILTER=false on that istiod, or "
        r"name an Envoy of istio-proxy with --mesh-envoy",
    ):
        serve(control_plane, FakeProxy(itertools.count()), make_rule())


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
            [make_rule()], [cast(IstioProxy, FakeProxy(itertools.count()))], rule_set
        )


def test_a_rejection_that_istiod_names_after_the_routes_are_there_is_told(
    control_plane: FakeControlPlane,
) -> None:
    class SlowProxy(FakeProxy):
        def has_routes_with(self, word: str) -> bool:
            control_plane.status["resources"] = {"RDS": {"lastError": "bad regex"}}
            return True

    with pytest.raises(BadRules, match="bad regex"):
        serve(control_plane, SlowProxy(itertools.count()), make_rule())


def test_another_push_is_asked_for_where_istiod_does_not_name_a_rejection(
    control_plane: FakeControlPlane,
) -> None:
    serve(control_plane, FakeProxy(itertools.chain([0], itertools.repeat(1))), make_rule())
    assert control_plane.api.order == ["shop", "generation", "generation"]


def test_rejections_that_istiod_never_names_are_an_error(control_plane: FakeControlPlane) -> None:
    with pytest.raises(NotReady, match="client rejected 5 pushes, and istiod does not say what"):
        serve(control_plane, FakeProxy(itertools.count()), make_rule())


class AnsweringClient(ApiClient):
    """A client whose server answers everything with the status that is its port."""

    def _exchange(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.port, {"message": "etcd is away"}


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_server_that_cannot_work_refuses_no_object(tmp_path: Path, status: int) -> None:
    def tell_what_ended() -> None:
        raise ProcessEnded("etcd was ended")

    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"}}
    client = AnsweringClient(status, tmp_path, "")
    for act in (client.apply, client.delete):
        with pytest.raises(NotReady, match=f"API server answers {status}: etcd is away"):
            act(service)
    with pytest.raises(ProcessEnded, match="etcd was ended"):
        AnsweringClient(status, tmp_path, "", tell_what_ended).apply(service)
    with pytest.raises(Refused, match="etcd is away"):
        AnsweringClient(400, tmp_path, "").apply(service)
