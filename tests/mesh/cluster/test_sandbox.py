"""A sandbox without a cluster: what it can prove, its pods and requests, the script of an echo."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshproof.apps import echo_pod
from meshproof.base.errors import BadRules
from meshproof.cli import main
from meshproof.mesh.cluster.api.objects import RunScope
from meshproof.mesh.cluster.istio.istio import Istio
from meshproof.mesh.cluster.sandbox.clients import MAX_LABELLED_CLIENTS, RenamingSender
from meshproof.mesh.cluster.sandbox.echo_pods import EchoPlacement, make_objects, name_pods
from meshproof.mesh.cluster.sandbox.rule_rewriter import SandboxNames
from meshproof.mesh.cluster.sandbox.sandbox import Sandbox
from meshproof.mesh.echo import listener
from meshproof.mesh.echo.workloads import collect_ports
from meshproof.mesh.http import HttpRequest, HttpResponse, NoResponse
from meshproof.mesh.protocol import Address
from meshproof.oracle.dead_ends import DeadEndKind
from meshproof.user_rules import loading
from meshproof.user_rules.loading import UserRules
from tests import TESTS

OTHER_CALLER = "its caller has a namespace of a user, clients of a sandbox have one of the run"
PLACE = RunScope("ab12")
ISTIO = Istio("istio-system", "", "1.31", (), "istio-system/istio-ingressgateway")
LAB = TESTS / "lab" / "sandbox.yaml"
HEAD = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec: {hosts: [api.example.net], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
CHOSEN = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
"""
#: A rule that any sandbox can prove: one over nothing is refused.
GOOD = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop}
spec: {hosts: [pay], http: [{route: [{destination: {host: pay}}]}]}
"""
CART = "{destination: {host: cart}}"


def load_rules(folder: Path, spec: str, other_documents: str = GOOD) -> UserRules:
    file = folder / "rules.yaml"
    file.write_text(f"{HEAD}{other_documents}{CHOSEN}spec: {{{spec}}}\n")
    return loading.load([str(file)])


def sandbox(user_rules: UserRules) -> Sandbox:
    return Sandbox(user_rules.rules, user_rules.plan.cases, user_rules.known_hosts, PLACE, ISTIO)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (f"match: [{{sourceNamespace: default}}], route: [{CART}]", "a namespace of a user"),
        (f"match: [{{authority: {{regex: 'cart.*'}}}}], route: [{CART}]", "matched by a part"),
        (
            f"match: [{{gateways: [in]}}], mirror: {{host: cart}}, route: [{CART}]",
            "does not count copies",
        ),
        (
            f"mirror: {{host: api.example.net}}, route: [{CART}]",
            "api.example.net, which is outside",
        ),
        (
            "match: [{uri: {exact: /o}}], route: [{destination: {host: api.example.net}}]",
            "api.example.net, which is outside the cluster",
        ),
    ],
)
def test_what_it_cannot_prove_is_named(spec: str, why: str, tmp_path: Path) -> None:
    user_rules = load_rules(
        tmp_path, f"hosts: [web], gateways: [mesh, in], http: [{{{spec}}}, {{route: [{CART}]}}]"
    )
    box = sandbox(user_rules)
    reasons = {case.id: box.explain_unproven(case) for case in user_rules.plan.cases}
    assert any(why in reason for reason in reasons.values()), reasons
    assert any(not reason for reason in reasons.values()), reasons


BOOKS = """---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: books, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: books}]
  rules: [{backendRefs: [{name: books-v1, port: 80NAMESPACE}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: all, namespace: pay}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
  to: [{group: "", kind: Service}]
"""


@pytest.mark.parametrize(
    ("spec", "why"), [("", ""), (", namespace: pay", "a sandbox has no ReferenceGrant")]
)
def test_http_routes_of_services(spec: str, why: str, tmp_path: Path) -> None:
    documents = GOOD + BOOKS.replace("NAMESPACE", spec)
    user_rules = load_rules(
        tmp_path, f"hosts: [web], http: [{{route: [{CART}]}}]", other_documents=documents
    )
    box = sandbox(user_rules)
    case, *_ = [case for case in user_rules.plan.cases if case.call.host.startswith("books.")]
    assert box.explain_unproven(case).startswith(why)
    assert bool(box.explain_unproven(case)) == bool(why)


def test_callers_with_labels_are_few(tmp_path: Path) -> None:
    routes = [
        f"{{match: [{{sourceLabels: {{app: a{n}}}}}], route: [{CART}]}}"
        for n in range(MAX_LABELLED_CLIENTS + 1)
    ]
    user_rules = load_rules(
        tmp_path, f"hosts: [web], http: [{', '.join(routes)}, {{route: [{CART}]}}]"
    )
    box = sandbox(user_rules)
    cases = [case for case in user_rules.plan.cases if ": host " not in case.id]
    sources = [case for case in cases if case.call.source]
    assert len(sources) == MAX_LABELLED_CLIENTS + 1
    reasons = [box.explain_unproven(case) for case in sources]
    assert reasons == [
        *[""] * MAX_LABELLED_CLIENTS,
        f"a sandbox has at most {MAX_LABELLED_CLIENTS} clients with labels of their own",
    ]


def test_a_port_of_a_gateway_that_is_not_there_is_named(tmp_path: Path) -> None:
    redirect = "{match: [{uri: {exact: /r}}], redirect: {derivePort: FROM_REQUEST_PORT}}"
    spec = f"hosts: [cart], gateways: [mesh, in], http: [{redirect}, {{route: [{CART}]}}]"
    user_rules = load_rules(tmp_path, spec)
    box = sandbox(user_rules)
    at_gateway = [case for case in user_rules.plan.cases if case.call.gateway != "mesh"]
    assert at_gateway
    assert {box.explain_unproven(case) for case in at_gateway} == {
        "it asks for port 8080; the way in to a sandbox is 80"
    }


def test_a_host_that_no_rule_names_is_not_asked_for(tmp_path: Path) -> None:
    """Others may share the gateway of the cluster, and name it."""
    spec = f"hosts: [www.shop.example], gateways: [in], http: [{{route: [{CART}]}}]"
    user_rules = load_rules(tmp_path, spec)
    box = sandbox(user_rules)
    unnamed = [case for case in user_rules.plan.cases if "no rule names it" in case.id]
    assert {box.explain_unproven(case) for case in unnamed} == {
        "other rules at the gateway of the cluster may name a host that these do not"
    }


def test_callers_of_a_rule_come_before_those_that_just_miss_it(tmp_path: Path) -> None:
    labels = ", ".join(f"l{number}: x" for number in range(MAX_LABELLED_CLIENTS + 1))
    routes = [
        f"{{match: [{{sourceLabels: {{{labels}}}}}], route: [{CART}]}}",
        f"{{match: [{{sourceLabels: {{app: b}}}}], route: [{CART}]}}",
    ]
    user_rules = load_rules(
        tmp_path, f"hosts: [web], http: [{', '.join(routes)}, {{route: [{CART}]}}]"
    )
    box = sandbox(user_rules)
    case = next(case for case in user_rules.plan.cases if case.call.source == (("app", "b"),))
    assert box.explain_unproven(case) == ""


def subsets(namespace: str, host: str, *names: str) -> str:
    subset_texts = ", ".join(f"{{name: {name}, labels: {{version: {name}}}}}" for name in names)
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {host.partition('.')[0]}, namespace: {namespace}}}\n"
        f"spec: {{host: {host}, subsets: [{subset_texts}]}}\n"
    )


def to_subsets(namespace: str, host: str, *names: str, other_matches: str = "") -> str:
    routes = [
        f"{{match: [{{uri: {{exact: /{name}}}}}], route: [{{destination: {{host: {host}, "
        f"subset: {name}}}}}]}}"
        for name in names
    ]
    default_route = f"{{route: [{{destination: {{host: {host}}}}}]}}"
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {{name: {host.partition('.')[0]}, namespace: {namespace}}}\n"
        f"spec: {{hosts: [{host}], {other_matches}http: [{', '.join([*routes, default_route])}]}}\n"
    )


class Taking:
    """A cluster that takes every object; see `meshproof...client.Kube`."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []

    def apply(self, body: dict[str, Any], at: str = "") -> dict[str, Any]:
        self.applied.append(body)
        return body


def probes(box: Sandbox) -> list[str]:
    """Return the namespaces, as the user calls them, in which clients of a sandbox come up."""
    users = {ours: theirs for theirs, ours in box.names.namespaces.items()}
    kube: Any = Taking()
    box.create_workloads(kube)
    pods = [body["metadata"] for body in kube.applied if body["kind"] == "Pod"]
    return [
        users[metadata["namespace"]] for metadata in pods if "meshproof/probe" in metadata["labels"]
    ]


PAID, STOCKED = "pay.payments.svc.cluster.local", "stock.warehouse.svc.cluster.local"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (to_subsets("shop", PAID, "v1") + subsets("shop", PAID, "v1"), ["shop"]),
        (to_subsets("alpha", PAID, "v1") + subsets("alpha", PAID, "v1"), ["alpha"]),
        (to_subsets("shop", PAID, "v1") + subsets("payments", PAID, "v1"), ["payments"]),
        (to_subsets("shop", PAID, "v1") + subsets("zeta", PAID, "v1"), ["zeta"]),
        (to_subsets("default", PAID, "v1") + subsets("payments", PAID, "v1"), ["default"]),
        (to_subsets("shop", PAID, "v1") + subsets("default", PAID, "v1"), ["default"]),
        (
            to_subsets("shop", PAID, "v1")
            + subsets("shop", PAID, "v1")
            + to_subsets("shop", STOCKED, "v1")
            + subsets("warehouse", STOCKED, "v1")
            + to_subsets("zeta", "cart.zeta.svc.cluster.local"),
            ["shop", "payments"],
        ),
        (  # what the client at home lacks, because of a rule for clients beside it
            to_subsets("zeta", STOCKED, "v1")
            + subsets("warehouse", STOCKED, "v1")
            + subsets("alpha", STOCKED, "v2"),
            ["zeta"],
        ),
    ],
    ids=[
        "beside the rule",
        "beside the rule, first by name",
        "beside the service",
        "of a third",
        "beside the service, and default",
        "of default",
        "both",
        "not at home",
    ],
)
def test_clients_stand_where_the_subsets_are_known(
    text: str, where: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    user_rules = loading.load([str(file)])
    box = sandbox(user_rules)
    assert probes(box) == where
    reasons = {case.call.namespace: box.explain_unproven(case) for case in user_rules.plan.cases}
    # Callers of alpha have a rule of their own, and a client of a sandbox need not be one of them.
    assert reasons.pop("alpha", "") in ("", OTHER_CALLER)
    assert set(reasons.values()) <= {""}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            to_subsets("shop", PAID, "v1", "v2")
            + subsets("alpha", PAID, "v1")
            + subsets("zeta", PAID, "v2"),
            f"no namespace has the DestinationRules of all its subsets: {PAID} v1 is elsewhere",
        ),
        (
            HEAD.replace("8080", "80")
            + to_subsets("shop", PAID, "v1", other_matches="gateways: [in], ")
            + subsets("shop", PAID, "v1"),
            f"the DestinationRule of {PAID} v1 is not in the namespace of that service, and the "
            "gateway of the cluster has no other",
        ),
    ],
    ids=["in two", "at a gateway"],
)
def test_subsets_that_no_client_knows_are_named(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text + to_subsets("zeta", "cart.zeta.svc.cluster.local"))
    user_rules = loading.load([str(file)])
    box = sandbox(user_rules)
    reasons = {box.explain_unproven(case) for case in user_rules.plan.cases}
    assert reasons - {OTHER_CALLER} == {"", why}


def test_rules_of_which_nothing_can_be_proven_are_an_error(tmp_path: Path) -> None:
    spec = "hosts: [api.example.net], http: [{route: [{destination: {host: api.example.net}}]}]"
    with pytest.raises(BadRules, match=r"(?s)no case .* proven in a sandbox:.*rules\.yaml:\d+"):
        sandbox(load_rules(tmp_path, spec, other_documents=""))


def make_placement(names: SandboxNames, ports: dict[str, tuple[int, ...]]) -> EchoPlacement:
    labels = {**PLACE.labels, "istio.io/rev": "canary"}
    return EchoPlacement(
        names.namespaces, ports, labels, lambda image: f"mirror/{image}", lambda host: ["a", "b"]
    )


def test_its_pods_are_small_restricted_and_have_the_labels_of_the_users(tmp_path: Path) -> None:
    user_rules = load_lab(tmp_path)
    box = sandbox(user_rules)
    bodies = list(
        make_objects(
            box.echoes,
            user_rules.known_hosts,
            make_placement(box.names, collect_ports(user_rules.rules, user_rules.known_hosts)),
        )
    )
    found_pods = [body for body in bodies if body["kind"] == "Pod"]
    assert [body["kind"] for body in bodies] == [*["ConfigMap"] * 2, *["Service"] * 4, *["Pod"] * 5]
    assert {pod["metadata"]["labels"]["version"] for pod in found_pods} == {"v1", "v2", "other"}
    assert len({pod["metadata"]["name"] for pod in found_pods}) == len(found_pods)
    pod_keys = [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in found_pods]
    assert pod_keys == list(name_pods(box.echoes, box.names.namespaces).values())
    for pod in found_pods:
        labels, spec = pod["metadata"]["labels"], pod["spec"]
        assert labels["sidecar.istio.io/inject"] == "true"
        assert labels["istio.io/rev"] == "canary"
        assert labels["meshproof/run"] == "ab12"
        assert spec["securityContext"]["runAsNonRoot"]
        (container,) = spec["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]) == {"requests", "limits"}
        assert container["image"].startswith("mirror/")
        assert pod["metadata"]["annotations"]["sidecar.istio.io/proxyCPU"] == "10m"


def test_a_destination_without_pods_has_a_service_and_an_absent_one_has_none(
    tmp_path: Path,
) -> None:
    lab = LAB.read_text()  # its workloads have 0 replicas
    (tmp_path / "lab.yaml").write_text(lab.replace("host: pay}}]", "host: pya}}]"))
    user_rules = loading.load([str(tmp_path / "lab.yaml")])
    kinds = {dead.kind for case in user_rules.plan.cases for dead in case.dead_ends}
    assert kinds == {DeadEndKind.PODS, DeadEndKind.SERVICE}
    box = sandbox(user_rules)
    ports = collect_ports(user_rules.rules, user_rules.known_hosts)
    bodies = list(
        make_objects(box.echoes, user_rules.known_hosts, make_placement(box.names, ports))
    )
    names = {body["metadata"]["name"] for body in bodies if body["kind"] == "Service"}
    assert {"cart", "web"} <= names
    assert "pya" not in names
    labels = [body["metadata"]["labels"] for body in bodies if body["kind"] == "Pod"]
    assert {pod_labels["app"] for pod_labels in labels} == {"stock"}


def load_lab(folder: Path) -> UserRules:
    """Load the rules of the lab as if their workloads had pods."""
    file = folder / "lab.yaml"
    file.write_text(LAB.read_text().replace("replicas: 0", "replicas: 1"))
    return loading.load([str(file)])


def test_its_services_select_what_stands_behind_them_alone(tmp_path: Path) -> None:
    user_rules = load_lab(tmp_path)
    box = sandbox(user_rules)
    bodies = list(
        make_objects(
            box.echoes,
            user_rules.known_hosts,
            make_placement(box.names, collect_ports(user_rules.rules, user_rules.known_hosts)),
        )
    )
    services = {body["metadata"]["name"]: body for body in bodies if body["kind"] == "Service"}
    assert set(services) == {"cart", "pay", "stock", "web"}
    for name, numbers in (("cart", [80]), ("web", [8080])):
        spec = services[name]["spec"]
        assert [port["port"] for port in spec["ports"]] == numbers
        behind = [
            body["metadata"]["labels"]
            for body in bodies
            if body["kind"] == "Pod"
            and spec["selector"].items() <= body["metadata"]["labels"].items()
        ]
        assert {pod_labels["app"] for pod_labels in behind} == {name}
        assert services[name]["metadata"]["annotations"] == {"networking.istio.io/exportTo": "a,b"}


SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: shop}
spec: {ports: [{port: PORT}]}
"""


def service(name: str, port: int) -> str:
    return SERVICE.replace("NAME", name).replace("PORT", str(port))


@pytest.mark.parametrize(
    ("other", "other_service", "of_other"),
    [
        ("other", service("other", 8080), {"other": (8080,)}),
        ("other", "", {}),  # it does not exist: another Service of its namespace is known
        ("other.far.svc.cluster.local", "", {"other": (80, 9080)}),
    ],
)
def test_a_service_that_nobody_describes_has_the_ports_that_are_called(
    other: str, other_service: str, of_other: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    spec = f"hosts: [web], http: [{{route: [{{destination: {{host: {other}}}}}]}}]"
    user_rules = load_rules(tmp_path, spec, other_documents=service("web", 9080) + other_service)
    bodies = make_objects(
        sandbox(user_rules).echoes,
        user_rules.known_hosts,
        make_placement(
            sandbox(user_rules).names, collect_ports(user_rules.rules, user_rules.known_hosts)
        ),
    )
    assert {
        body["metadata"]["name"]: tuple(port["port"] for port in body["spec"]["ports"])
        for body in bodies
        if body["kind"] == "Service"
    } == {"web": (9080,), **of_other}


class RecordingSender:
    """A sender that keeps the requests and answers each with a redirect with these headers."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.requests: list[HttpRequest] = []
        self._headers = headers

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        self.requests += requests
        return [HttpResponse(request, 301, self._headers, b"") for request in requests]

    def describe_command(self, curl: str) -> str:
        return f"shown {curl}"


def test_requests_have_names_of_the_run_and_answers_those_of_the_user() -> None:
    names = SandboxNames.for_namespaces(PLACE, ["shop"])
    ours = f"cart.{names.namespaces['shop']}.svc.cluster.local"
    theirs = "cart.shop.svc.cluster.local"
    sent_headers = {
        "x-seen-authority": ours,
        "location": f"http://{ours}:8080/new?a={ours}",
        "x-other": ours,
    }
    recorder = RecordingSender(sent_headers)
    sender = RenamingSender(recorder, names)
    request = HttpRequest("/", (("Host", theirs), ("x-a", theirs)))
    (answer,) = sender.send(Address("cart", 80), [request], 1, True)
    assert recorder.requests == [replace(request, headers=(("Host", ours), ("x-a", theirs)))]
    assert isinstance(answer, HttpResponse)
    assert answer.headers == {
        "x-seen-authority": theirs,
        "location": f"http://{theirs}:8080/new?a={ours}",
        "x-other": ours,
    }
    command = sender.describe_command(f"curl -i -H 'Host: {theirs}' -H 'x-a: b' http://{ours}/")
    assert command == f"shown curl -i -H 'Host: {ours}' -H 'x-a: b' http://{ours}/"


def test_a_redirect_to_nowhere_else_is_told_as_it_is() -> None:
    recorder = RecordingSender({"location": "/new"})
    sender = RenamingSender(recorder, SandboxNames.for_namespaces(PLACE, ["shop"]))
    (answer,) = sender.send(Address("cart", 80), [HttpRequest("/")], 1, True)
    assert isinstance(answer, HttpResponse)
    assert answer.headers == {"location": "/new"}


@pytest.fixture
def echo() -> Iterator[http.client.HTTPConnection]:
    """A connection to the script of an echo workload, which runs here."""
    with echo_pod.make_server("cart.shop.v1", 0, "127.0.0.1") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]))
        yield connection
        connection.close()
        server.shutdown()


def asked_of(
    echo: http.client.HTTPConnection, method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    header_values = {name.replace("_", "-"): value for name, value in headers.items()}
    echo.request(method, "/a?b=c", headers=header_values)
    answer = echo.getresponse()
    answer.read()
    return answer


def test_the_echo_tells_who_it_is_and_what_arrived(echo: http.client.HTTPConnection) -> None:
    answer = asked_of(echo, Host="cart.shop", X_A="1", X_Meshproof_Answers_X_B="2")
    assert answer.status == 200
    assert answer.getheader(listener.SERVED_BY_HEADER) == "cart.shop.v1"
    assert answer.getheader(listener.SEEN_PATH_HEADER) == "/a?b=c"
    assert answer.getheader(listener.SEEN_AUTHORITY_HEADER) == "cart.shop"
    assert answer.getheader(f"{listener.SEEN_HEADER_PREFIX}x-a") == "1"
    assert answer.getheader("x-b") == "2"


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE", "OPTIONS", "PATCH"])
def test_the_echo_answers_any_method(echo: http.client.HTTPConnection, method: str) -> None:
    for _ in range(2):  # the connection is as good as new after an answer
        assert asked_of(echo, method).getheader(listener.SERVED_BY_HEADER) == "cart.shop.v1"


def test_the_echo_notes_what_may_be_mirrored(echo: http.client.HTTPConnection) -> None:
    for value in ("a-1", "a-2", "a-1"):
        asked_of(echo, X_Meshproof_Mirror=value)
    asked_of(echo)
    echo.request("GET", echo_pod.COPIES_PATH)
    assert json.loads(echo.getresponse().read()) == {"a-1": 2, "a-2": 1}


@pytest.mark.parametrize(
    ("failing", "attempt", "status", "grpc"),
    [
        ("503 x2", "2", 503, None),
        ("503 x2", "3", 200, None),
        ("gRPC 14 x1", "1", 200, "14"),
        ("nonsense", "1", 200, None),
    ],
)
def test_the_echo_fails_as_it_is_asked(
    echo: http.client.HTTPConnection, failing: str, attempt: str, status: int, grpc: str | None
) -> None:
    answer = asked_of(echo, X_Meshproof_Fails=failing, X_Envoy_Attempt_Count=attempt)
    assert (answer.status, answer.getheader("grpc-status")) == (status, grpc)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["smoke", "--most-workloads", "-1", "--rules-from", "shop"],
            "number from 0 to 200",
        ),
        (
            ["smoke", "--most-workloads", "201", "--rules-from", "shop"],
            "number from 0 to 200",
        ),
        (
            ["test", "--mesh-sandbox", "0", "--mesh", "cluster"],
            "number from 1 to 200",
        ),
        (["test", "--mesh-sandbox", "5"], "it needs --mesh cluster"),
    ],
)
def test_the_number_of_workloads_has_a_range(
    option: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*option, "--report", str(tmp_path)]) == 64
    assert message in capsys.readouterr().err
