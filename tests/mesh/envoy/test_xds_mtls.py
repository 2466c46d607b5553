"""Real sidecars take plaintext or refuse it as policies say, and know each other by SPIFFE id."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from meshproof.base import timeouts
from meshproof.mesh.envoy.certificates import Authority, Identity
from meshproof.rules.model import RuleSet
from tests.mesh.envoy.echoes import Answer, Client, Echoes, Load, app, echo_mesh, ruleset

POLICY = """\
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{selector}mtls: {{mode: {mode}}}}}
"""
#: A pod of the default namespace, another one there, and one of another namespace.
PODS = ("reviews-v1-0", "reviews-v2-0", "orders-v1-0")
HOSTS = {"reviews-v1-0": "reviews", "reviews-v2-0": "reviews", "orders-v1-0": "orders.shop"}
HANGS_UP = (ConnectionError, http.client.RemoteDisconnected, ssl.SSLError)
GET = b"GET / HTTP/1.1\r\nHost: reviews\r\n\r\n"


@pytest.fixture(scope="module")
def echoes() -> Iterator[Echoes]:
    apps = (app("client", "v1"), app("reviews", "v1", "v2"), app("orders", "v1", namespace="shop"))
    with echo_mesh(*apps) as echoes:
        yield echoes


def policies(mesh: str = "", namespace: str = "", workload: str = "") -> RuleSet:
    """Return the policies for the mesh, for the default namespace, and for reviews v2 there."""
    version = "selector: {matchLabels: {version: v2}}, "
    rows = (
        (mesh, "istio-system", "", "default"),
        (namespace, "default", "", "default"),
        (workload, "default", version, "v2"),
    )
    return ruleset(
        "".join(
            POLICY.format(name=name, namespace=policy_namespace, selector=selector, mode=mode)
            for mode, policy_namespace, selector, name in rows
            if mode
        )
    )


def plaintext(echoes: Echoes) -> list[int | None]:
    return [echoes.mesh.probe_plaintext(pod) for pod in PODS]


def callers(echoes: Echoes) -> dict[str, str]:
    """Return, by the host that was asked through the mesh, who asked as its echoes saw it."""
    with echoes.client() as client:
        ids = {}
        for host in dict.fromkeys(HOSTS.values()):
            answers = [client.ask(host=host) for _ in range(8)]
            assert {answer.status for answer in answers} == {200}
            ids[host] = " and ".join(sorted({caller(answer) for answer in answers}))
        return ids


def caller(answer: Answer) -> str:
    """Return the SPIFFE id in x-forwarded-client-cert as the echo saw it; empty without TLS."""
    header = str(answer.echo["headers"].get("x-forwarded-client-cert", ""))
    return dict(part.split("=", 1) for part in header.split(";") if part).get("URI", "")


TLS = "spiffe://cluster.local/ns/default/sa/client"
MODES: dict[str, tuple[dict[str, str], list[int | None], tuple[str, str]]] = {
    "mesh permissive": ({"mesh": "PERMISSIVE"}, [200, 200, 200], (TLS, TLS)),
    "mesh strict": ({"mesh": "STRICT"}, [None, None, None], (TLS, TLS)),
    "mesh disabled": ({"mesh": "DISABLE"}, [200, 200, 200], ("", "")),
    "namespace strict": ({"namespace": "STRICT"}, [None, None, 200], (TLS, TLS)),
    "namespace disabled": ({"namespace": "DISABLE"}, [200, 200, 200], ("", TLS)),
    "workload strict": ({"workload": "STRICT"}, [200, None, 200], (TLS, TLS)),
    "workload disabled": ({"workload": "DISABLE"}, [200, 200, 200], (f" and {TLS}", TLS)),
    "namespace over mesh": (
        {"mesh": "STRICT", "namespace": "PERMISSIVE"},
        [200, 200, None],
        (TLS, TLS),
    ),
    "workload over namespace over mesh": (
        {"mesh": "DISABLE", "namespace": "STRICT", "workload": "PERMISSIVE"},
        [None, 200, 200],
        (TLS, ""),
    ),
}


@pytest.mark.parametrize(("modes", "probes", "caller_ids"), MODES.values(), ids=MODES)
def test_what_is_taken_is_what_the_policies_say(
    echoes: Echoes,
    modes: dict[str, str],
    probes: list[int | None],
    caller_ids: tuple[str, str],
) -> None:
    with echoes.mesh.applied(policies(**modes)):
        assert plaintext(echoes) == probes
        assert tuple(callers(echoes).values()) == caller_ids
    assert plaintext(echoes) == [200, 200, 200], "as before the policies"


def test_an_echo_sees_who_asks_and_nobody_can_claim_to_be_another(echoes: Echoes) -> None:
    forged = {"x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/default/sa/root"}
    with echoes.client() as client:
        assert caller(client.ask(headers=forged)) == TLS
    with Client(echoes.listener("reviews-v1-0", "inbound")) as outside:
        assert "x-forwarded-client-cert" not in outside.ask(headers=forged).echo["headers"]


def test_a_plaintext_connection_does_not_outlive_strict(echoes: Echoes) -> None:
    with Client(echoes.listener("reviews-v1-0", "inbound")) as outside:
        assert outside.ask().status == 200
        with echoes.mesh.applied(policies(mesh="STRICT")), pytest.raises(HANGS_UP):
            outside.ask()


@pytest.mark.parametrize("modes", [("STRICT", "DISABLE"), ("DISABLE", "PERMISSIVE")])
def test_the_mesh_goes_on_while_modes_change(echoes: Echoes, modes: tuple[str, str]) -> None:
    outer, inner = (policies(mesh=mode) for mode in modes)
    with ExitStack() as stack:
        asking = [stack.enter_context(echoes.client()) for _ in range(2)]
        load = stack.enter_context(Load(asking, frozenset(("v1", "v2"))))
        with echoes.mesh.applied(outer), echoes.mesh.applied(inner):
            pass
    assert not load.wrong
    assert load.under[load.allowed] > 50


def tls(echoes: Echoes, identity: Identity | None) -> bytes:
    """Ask reviews v1 by mutual TLS, past any client's sidecar; return the status line."""
    address = echoes.listener("reviews-v1-0", "inbound")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the name is a SPIFFE id, in a URI
    context.load_verify_locations(certificates(echoes) / "ca.pem")
    if identity:
        context.load_cert_chain(identity.chain, identity.key)
    raw = socket.create_connection((address.host, address.port), timeouts.REQUEST)
    with closing(context.wrap_socket(raw)) as connection:
        connection.sendall(GET)
        return connection.recv(4096).split(b"\r\n")[0]


def refusals(echoes: Echoes) -> dict[str, int]:
    """Return how often the sidecar of reviews v1 has refused a client, by the cause."""
    causes = "(fail_verify_error|fail_verify_no_cert)"
    text = echoes.admin("reviews-v1-0", f"/stats?filter=^listener.127.*ssl.{causes}$")
    return {line.split(":")[0][-18:]: int(line.rpartition(": ")[2]) for line in text.splitlines()}


def certificates(echoes: Echoes) -> Path:
    return echoes.mesh.workspace.path / "certificates"


def of_the_mesh(echoes: Echoes, account: str) -> Identity:
    chain = certificates(echoes) / f"default.{account}.pem"
    return Identity("", chain, chain.with_suffix(".key"), chain)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
def test_only_certificates_of_the_mesh_are_taken(echoes: Echoes, mode: str, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other-ca").issue("default", "client")
    with echoes.mesh.applied(policies(mesh=mode)):
        before = refusals(echoes)
        assert tls(echoes, of_the_mesh(echoes, "client")) == b"HTTP/1.1 200 OK"
        assert refusals(echoes) == before
        for refused in (stranger, None):
            with pytest.raises(HANGS_UP):
                tls(echoes, refused)
        assert refusals(echoes) == {cause: count + 1 for cause, count in before.items()}


def test_a_server_that_is_somebody_else_is_refused_by_the_asking_sidecar(
    echoes: Echoes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sidecar in echoes.mesh._sidecars:
        if sidecar.pod.name.startswith("reviews"):
            monkeypatch.setattr(sidecar, "identity", of_the_mesh(echoes, "client"))
    with echoes.client() as client:
        with echoes.mesh.applied(policies(mesh="DISABLE")):
            assert ask_statuses(client) == {200}, "without TLS nobody looks"
        assert ask_statuses(client) == {503}
        assert client.ask(host="orders.shop").status == 200
        stats = echoes.admin("client-v1-0", "/stats?filter=^cluster.*reviews.*fail_verify_san$")
        assert sum(int(line.rpartition(": ")[2]) for line in stats.splitlines()) > 0
        monkeypatch.undo()
        with echoes.mesh.applied(policies(mesh="DISABLE")):
            assert ask_statuses(client) == {200}
        assert ask_statuses(client) == {200}, "the right one is taken again"


def ask_statuses(client: Client) -> set[int]:
    return {client.ask().status for _ in range(8)}
