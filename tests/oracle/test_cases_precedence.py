"""Several rules for one host: the oracle asks what istiod serves of them, nothing unspecified."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproof.base.errors import BadRules
from meshproof.oracle.derive import Plan, derive
from meshproof.rules.model import RuleSet

Read = Callable[[str], RuleSet]
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: NAME, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
"""
OLD, NEW = (f', creationTimestamp: "2026-0{month}-01T00:00:00Z"' for month in (1, 2))
ALL, API, DEEP = (
    "",
    "    match: [{uri: {prefix: /api}}]\n",
    "    match: [{uri: {prefix: /api/b}}]\n",
)


def rule(name: str, to: str, match: str, head: str = "", gateway: str = "gw") -> str:
    where = f"hosts: [shop.example]\n  gateways: [{gateway}]" if gateway else "hosts: [cart]"
    exported, _, created = head.partition("|")
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop{created}}}
spec:
  {where}
{exported}  http:
  - route: [{{destination: {{host: {to}, port: {{number: 80}}}}}}]
{match}---
"""


def list_answers(plan: Plan) -> dict[str, str]:
    """Return the path and caller of each plain case -> the service that answers, or the status."""
    return {
        f"{case.call.namespace} {case.call.path}": (
            case.shares[0][0].host.partition(".")[0] if case.shares else str(case.status)
        )
        for case in plan.cases
        if ": host " not in case.id
    }


def at_gateway(read: Read, *rules: str) -> dict[str, str]:
    return list_answers(derive(read(GATEWAY.replace("NAME", "gw") + "".join(rules))))


@pytest.mark.parametrize("match", [ALL, "    match: [{uri: {prefix: /}}]\n"])
def test_at_a_gateway_what_takes_all_comes_behind_the_routes_of_others(
    read: Read, match: str
) -> None:
    answers = at_gateway(read, rule("a", "web", match), rule("b", "api", API))
    assert answers["default /"] == "web"
    assert answers["default /api"] == answers["default /apix"] == "api"


@pytest.mark.parametrize(
    "match",
    [
        '    match: [{uri: {prefix: ""}}]\n',
        '    match: [{uri: {prefix: ""}, port: 80}]\n',
    ],
)
def test_an_empty_prefix_is_no_catch_all_so_the_age_decides(read: Read, match: str) -> None:
    answers = at_gateway(read, rule("a", "web", match, f"|{OLD}"), rule("b", "api", API, f"|{NEW}"))
    assert set(answers.values()) == {"web"}
    answers = at_gateway(read, rule("a", "web", match, f"|{NEW}"), rule("b", "api", API, f"|{OLD}"))
    assert answers["default /api"] == "api"


def test_at_a_gateway_the_older_rule_comes_first(read: Read) -> None:
    answers = at_gateway(read, rule("z", "web", API, f"|{OLD}"), rule("a", "api", DEEP, f"|{NEW}"))
    assert "api" not in answers.values()
    answers = at_gateway(read, rule("z", "web", API, f"|{NEW}"), rule("a", "api", DEEP, f"|{OLD}"))
    assert (answers["default /api/b"], answers["default /api"]) == ("api", "web")


def test_of_one_second_the_name_decides(read: Read) -> None:
    answers = at_gateway(read, rule("z", "web", API, f"|{OLD}"), rule("a", "api", DEEP, f"|{OLD}"))
    assert answers["default /api/b"] == "api"


def test_without_an_age_nothing_is_asked_that_both_take(read: Read) -> None:
    answers = at_gateway(read, rule("a", "web", API), rule("b", "api", DEEP))
    assert answers["default /api"] == "web"
    assert "api" not in answers.values()
    with pytest.raises(BadRules, match="takes it too; which comes first is not specified"):
        at_gateway(read, rule("a", "web", ALL), rule("b", "api", ALL))


def test_two_gateways_of_one_proxy_are_joined_the_older_one_first(read: Read) -> None:
    gateways = [
        GATEWAY.replace("NAME", name).replace("namespace: shop", f"namespace: shop{made}")
        for name, made in (("gw", NEW), ("front", OLD))
    ]
    rules = rule("a", "web", API), rule("b", "api", DEEP, gateway="front")
    answers = list_answers(derive(read("".join((*gateways, *rules)))))
    assert (answers["default /api"], answers["default /api/b"]) == ("web", "api")
    plain = "".join(GATEWAY.replace("NAME", name) for name in ("gw", "front"))
    assert "api" not in list_answers(derive(read(plain + "".join(rules)))).values()


def in_mesh(read: Read, *rules: str) -> dict[str, str]:
    return list_answers(derive(read("".join(rules))))


def test_in_the_mesh_the_oldest_rule_has_the_host_alone(read: Read) -> None:
    plan = derive(
        read(
            rule("b", "web", API, f"|{OLD}", gateway="")
            + rule("a", "api", DEEP, f"|{NEW}", gateway="")
        )
    )
    assert set(list_answers(plan).values()) == {"web", "404"}
    ((_, reason),) = plan.coverage[1].unreached
    assert "has cart.shop.svc.cluster.local alone" in reason


def test_in_the_mesh_without_an_age_nothing_is_asked_and_it_is_said(read: Read) -> None:
    with pytest.raises(BadRules, match="which of them has it alone is not specified"):
        in_mesh(read, rule("a", "web", API, gateway=""), rule("b", "api", DEEP, gateway=""))


def test_a_rule_for_the_namespace_comes_before_an_older_one_for_all(read: Read) -> None:
    answers = in_mesh(
        read,
        rule("a", "web", ALL, f"|{OLD}", gateway=""),
        rule("b", "api", ALL, f"  exportTo: [., bank]\n|{NEW}", gateway=""),
    )
    assert answers == {"default /": "web", "shop /": "api", "bank /": "api"}


def test_callers_without_the_rule_reach_the_service_as_if_there_were_none(read: Read) -> None:
    answers = in_mesh(read, rule("a", "web", ALL, "  exportTo: [.]\n", gateway=""))
    assert answers == {"shop /": "web", "default /": "cart"}


def test_a_rule_without_a_route_for_the_caller_leaves_the_host_to_the_next(read: Read) -> None:
    beta = "    match: [{sourceLabels: {app: beta}}]\n"
    plan = derive(
        read(
            rule("a", "web", beta, f"|{OLD}", gateway="")
            + rule("b", "api", ALL, f"|{NEW}", gateway="")
        )
    )
    answers = {
        (case.call.source, case.shares[0][0].host.partition(".")[0])
        for case in plan.cases
        if case.shares
    }
    assert {((("app", "beta"),), "web"), ((), "api")} == answers


def test_a_gateway_of_another_namespace_has_no_rule_that_is_private(read: Read) -> None:
    with pytest.raises(BadRules, match="not exported to istio-system, where the proxy of shop/gw"):
        at_gateway(read, rule("a", "web", ALL, "  exportTo: [.]\n"))


HTTP_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: cart}]
  rules: [{backendRefs: [{name: route, port: 80}]}]
---
"""


def test_an_http_route_comes_first_for_callers_of_its_own_namespace(read: Read) -> None:
    answers = in_mesh(read, HTTP_ROUTE, rule("a", "web", ALL, gateway=""))
    assert answers == {"shop /": "route"}
    made = HTTP_ROUTE.replace("namespace: shop", f"namespace: shop{NEW}")
    answers = in_mesh(read, made, rule("a", "web", ALL, f"|{OLD}", gateway=""))
    assert answers == {"shop /": "route", "default /": "web"}


TWO_GATEWAYS = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: NAME}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: PORT, name: http, protocol: HTTP}, hosts: [shop.example]}]
"""
ONE_OF_TWO = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example]
  gateways: [a, b]
  http:
  - match: [{uri: {prefix: /x}, gateways: [b]}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {prefix: /y}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
"""


@pytest.mark.parametrize(("port", "is_other"), [(80, False), (81, True)])
def test_a_match_for_one_of_two_gateways_holds_at_both_where_they_share_host_and_port(
    plan: Callable[[str], Plan], port: int, is_other: bool
) -> None:
    gateways = (
        TWO_GATEWAYS.replace("NAME", name).replace("PORT", str(number))
        for name, number in (("a", 80), ("b", port))
    )
    made = plan(ONE_OF_TWO + "".join(gateways))
    by_gateway = {
        case.call.gateway: case.shares[0][0].subset
        for case in made.cases
        if case.call.path.startswith("/x/") and case.shares
    }
    assert by_gateway.get("default/a", "") == ("v1" if is_other else "")
    assert not any(coverage.unreached for coverage in made.coverage)
