"""Real Envoys take each kind of condition as it is meant: requests that meet it, others that miss.

Every row is served as `the match -> v2, everything else -> v1` and asked through a real sidecar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.manifest_text import write_head
from tests.mesh.envoy.echoes import SUBSETS, Client, Echoes, app, echo_mesh, ruleset

RULE = SUBSETS + (
    "  http:\n"
    "  - match: [{MATCH}]\n"
    "    route: [{destination: {host: reviews, subset: v2}}]\n"
    "  - route: [{destination: {host: reviews, subset: v1}}]\n"
)
RE = "(?i)^bu+rr$"


@pytest.fixture(scope="module")
def echoes() -> Iterator[Echoes]:
    with echo_mesh(app("client", "v1"), app("other", "v1"), app("reviews", "v1", "v2")) as echoes:
        yield echoes


@pytest.fixture
def client(echoes: Echoes) -> Iterator[Client]:
    with echoes.client() as client:
        yield client


@dataclass(frozen=True)
class Request:
    path: str = "/"
    method: str = "GET"
    host: str = "reviews"
    headers: dict[str, str] = field(default_factory=dict)


def get(path: str) -> Request:
    return Request(path)


def having(**headers: str) -> Request:
    return Request(headers={name.replace("_", "-"): value for name, value in headers.items()})


ROWS: dict[str, tuple[str, list[Request], list[Request]]] = {
    "header exact": (
        "headers: {x-user: {exact: burr}}",
        [having(x_user="burr"), having(X_USER="burr", other="1")],
        [Request(), having(x_user="Burr"), having(x_user="burrito"), having(x_user="")],
    ),
    "header prefix": (
        "headers: {x-user: {prefix: bu}}",
        [having(x_user="bu"), having(x_user="burr")],
        [Request(), having(x_user="b"), having(x_user="xbu")],
    ),
    "header regex": (
        f"headers: {{x-user: {{regex: '{RE}'}}}}",
        [having(x_user="burr"), having(x_user="BUUURR")],
        [Request(), having(x_user="brr")],
    ),
    "a regex is for the whole value": (
        "headers: {x-user: {regex: burr}}",
        [having(x_user="burr")],
        [having(x_user="burrito"), having(x_user="a burr")],
    ),
    "header at all": (
        "headers: {X-User: {}}",
        [having(x_user="burr"), having(x_user="")],
        [Request(), having(x_users="1")],
    ),
    "two headers": (
        "headers: {a: {exact: '1'}, b: {exact: '2'}}",
        [having(a="1", b="2")],
        [having(a="1"), having(b="2"), having(a="2", b="1")],
    ),
    "without a header": (
        "withoutHeaders: {x-bot: {}}",
        [Request(), having(x_bots="1")],
        [having(x_bot="1"), having(x_bot="")],
    ),
    "without a value of a header": (
        "withoutHeaders: {x-bot: {exact: 'yes'}}",
        [Request(), having(x_bot="no")],
        [having(x_bot="yes")],
    ),
    "without a value that an absent header has too": (
        "withoutHeaders: {x-bot: {regex: '.*'}}",
        [],
        [Request(), having(x_bot="no")],
    ),
    "query exact": (
        "queryParams: {user: {exact: burr}}",
        [get("/?user=burr"), get("/a?x=1&user=burr")],
        [get("/"), get("/?user=Burr"), get("/?User=burr"), get("/?users=burr"), get("/?user=")],
    ),
    "query prefix": (
        "queryParams: {user: {prefix: bu}}",
        [get("/?user=burr")],
        [get("/?user=b"), get("/")],
    ),
    "query regex": (
        "queryParams: {user: {regex: 'b.*r'}}",
        [get("/?user=burr")],
        [get("/?user=burrs"), get("/")],
    ),
    "query at all": (
        "queryParams: {user: {}}",
        [get("/?user=burr"), get("/?user=")],
        [get("/"), get("/?name=user")],
    ),
    "method": (
        "method: {exact: PUT}",
        [Request(method="PUT")],
        [Request(), Request(method="POST")],
    ),
    "method regex": (
        "method: {regex: 'P.*'}",
        [Request(method="PUT"), Request(method="POST")],
        [Request(), Request(method="DELETE")],
    ),
    "authority exact": (
        "authority: {exact: reviews.default}",
        [Request(host="reviews.default")],
        [Request(), Request(host="reviews.default:80")],
    ),
    "authority prefix": (
        "authority: {prefix: reviews.}",
        [Request(host="reviews.default"), Request(host="reviews.default.svc.cluster.local:80")],
        [Request()],
    ),
    "uri exact": (
        "uri: {exact: /a}",
        [get("/a"), get("/a?x=1")],
        [get("/"), get("/a/"), get("/A"), get("/ab")],
    ),
    "uri prefix": (
        "uri: {prefix: /a}",
        [get("/a"), get("/a/b"), get("/ab")],
        [get("/"), get("/A"), get("/b/a")],
    ),
    "uri regex": (
        "uri: {regex: '/a+'}",
        [get("/a"), get("/aaa?x=1")],
        [get("/ab"), get("/A"), get("/b/a")],
    ),
    "uri exact in any case": (
        "uri: {exact: /Ab}, ignoreUriCase: true",
        [get("/ab"), get("/AB")],
        [get("/abc")],
    ),
    "uri prefix in any case": (
        "uri: {prefix: /Ab}, ignoreUriCase: true",
        [get("/ab"), get("/ABC")],
        [get("/a")],
    ),
    "uri regex minds the case": (
        "uri: {regex: '/Ab'}, ignoreUriCase: true",
        [get("/Ab")],
        [get("/ab")],
    ),
    "everything at once": (
        "uri: {prefix: /a}, method: {exact: PUT}, headers: {h: {}}, queryParams: {q: {exact: '1'}}",
        [Request("/a?q=1", "PUT", headers={"h": "x"})],
        [
            Request("/b?q=1", "PUT", headers={"h": "x"}),
            Request("/a?q=1", "GET", headers={"h": "x"}),
            Request("/a?q=1", "PUT"),
            Request("/a?q=2", "PUT", headers={"h": "x"}),
        ],
    ),
    "any of several": (
        "uri: {exact: /a}}, {headers: {x-user: {exact: burr}}",
        [get("/a"), having(x_user="burr")],
        [get("/b"), having(x_user="b")],
    ),
}


def versions(client: Client, requests: list[Request]) -> list[str]:
    return [
        client.ask(request.path, request.method, request.host, request.headers).version
        for request in requests
    ]


@pytest.mark.parametrize(("match", "taken", "missed"), ROWS.values(), ids=ROWS)
def test_condition(
    echoes: Echoes, client: Client, match: str, taken: list[Request], missed: list[Request]
) -> None:
    with echoes.mesh.applied(ruleset(RULE.replace("MATCH", match))):
        assert versions(client, taken) == ["v2"] * len(taken)
        assert versions(client, missed) == ["v1"] * len(missed)


def test_source_labels_are_those_of_the_asking_pod(echoes: Echoes, client: Client) -> None:
    text = RULE.replace("MATCH", "sourceLabels: {app: client}")
    with echoes.mesh.applied(ruleset(text)), echoes.client("other-v1-0") as other_client:
        assert client.ask().version == "v2"
        assert other_client.ask().version == "v1"


def test_the_first_route_that_matches_decides(echoes: Echoes, client: Client) -> None:
    routes = (
        "  - match: [{uri: {prefix: /a}}]\n"
        "    route: [{destination: {host: reviews, subset: v1}}]\n",
        "  - match: [{uri: {prefix: /a/b}}]\n"
        "    route: [{destination: {host: reviews, subset: v2}}]\n",
    )
    for order, version in ((routes, "v1"), (routes[::-1], "v2")):
        with echoes.mesh.applied(ruleset(f"{SUBSETS}  http:\n{''.join(order)}")):
            assert client.ask("/a/b").version == version


def test_what_no_route_of_a_virtual_service_takes_gets_a_404(
    echoes: Echoes, client: Client
) -> None:
    text = RULE.replace("MATCH", "uri: {exact: /a}").rpartition("  - route")[0]
    with echoes.mesh.applied(ruleset(text)):
        assert versions(client, [get("/a"), get("/b")]) == ["v2", "404"]
    assert client.ask("/b").status == 200


def test_what_no_route_rule_takes_goes_to_every_version(echoes: Echoes, client: Client) -> None:
    text = (
        write_head("RouteRule", "a")
        + "spec: {destination: {name: reviews}, match: {request: {headers: {uri: {exact: /a}}}}, "
        "route: [{labels: {version: v2}}]}\n"
    )
    with echoes.mesh.applied(ruleset(text)):
        assert set(versions(client, [get("/a")] * 20)) == {"v2"}
        assert set(versions(client, [get("/b")] * 60)) == {"v1", "v2"}


def test_the_port_of_a_destination(echoes: Echoes, client: Client) -> None:
    text = SUBSETS + "  http: [{route: [{destination: {host: reviews, port: {number: 81}}}]}]\n"
    with echoes.mesh.applied(ruleset(text)):
        before = echoes.count("client-v1-0", "outbound.81")
        assert client.ask().status == client.ask(host="reviews:81").status == 200
        assert echoes.count("client-v1-0", "outbound.81") == before + 2
    before = echoes.count("client-v1-0", "outbound.80")
    assert client.ask().status == 200
    assert echoes.count("client-v1-0", "outbound.80") == before + 1


def test_a_host_that_is_no_service_stays_in_the_mesh(client: Client) -> None:
    assert client.ask(host="www.example.com").status == 502
    assert client.ask(host="reviews:8080").status == 502


def test_a_subset_without_pods_has_nobody_to_answer(echoes: Echoes, client: Client) -> None:
    text = RULE.replace("MATCH", "uri: {exact: /a}").replace("version: v2", "version: v9")
    with echoes.mesh.applied(ruleset(text)):
        assert versions(client, [get("/a"), get("/b")]) == ["503", "v1"]


def test_weights_send_to_each_target(echoes: Echoes, client: Client) -> None:
    text = SUBSETS + (
        "  http: [{route: [{destination: {host: reviews, subset: v1}, weight: 0},\n"
        "    {destination: {host: reviews, subset: v2}, weight: 3}]}]\n"
    )
    with echoes.mesh.applied(ruleset(text)):
        assert set(versions(client, [get("/")] * 50)) == {"v2"}
    with echoes.mesh.applied(ruleset(text.replace("weight: 0", "weight: 3"))):
        assert set(versions(client, [get("/")] * 50)) == {"v1", "v2"}
