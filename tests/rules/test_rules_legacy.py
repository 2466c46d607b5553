"""DestinationPolicy, EgressRule and Ingress of Istio's class: what of them is in the model."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.legacy import ingress
from meshproof.rules.model import (
    Gateway,
    Match,
    Route,
    RouteTable,
    RuleSet,
    Server,
    StringMatch,
    Target,
)

NOWHERE = At("", 0)
RULE = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: r}
spec: {destination: {name: shop}, route: [{labels: {version: v1}}]}
"""
POLICY = """\
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: p}
spec:
  destination: {name: shop, labels: {version: v1}}
  loadBalancing: {name: RANDOM}
  circuitBreaker: {simpleCb: {maxConnections: 1, sleepWindow: 30s, httpMaxEjectionPercent: 10}}
"""
EGRESS = """\
apiVersion: config.istio.io/v1alpha2
kind: EgressRule
metadata: {name: e}
spec: {destination: {service: a.example}, ports: [{port: 80, protocol: http}]}
"""
INGRESS = """\
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: gate, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - host: a.example
    http:
      paths:
      - {path: /a.*, backend: {serviceName: shop, servicePort: 80}}
      - {path: /b, backend: {serviceName: other, servicePort: 8080}}
"""


def read(*texts: str) -> RuleSet:
    return rules.read_rules(manifest.parse("---\n".join(texts), "old.yaml"))


def test_a_policy_and_an_egress_rule_do_not_change_who_answers() -> None:
    assert read(RULE, POLICY, EGRESS) == read(RULE)


@pytest.mark.parametrize("text", [POLICY, EGRESS])
def test_alone_they_are_no_rules(text: str) -> None:
    with pytest.raises(BadRules, match=r"^old\.yaml:1:1: no rules found"):
        read(text)


def test_an_ingress_is_a_gateway_and_a_route_for_each_host() -> None:
    def route(kind: str, path: str, host: str, port: int) -> Route:
        match = StringMatch("exact" if kind == "exact" else "prefix", path, NOWHERE)
        target = Target(f"{host}.shop.svc.cluster.local", (), 100, port)
        return Route((Match(NOWHERE, uri=match),), (target,), NOWHERE)

    parsed = read(INGRESS)
    routes = (route("exact", "/b", "other", 8080), route("prefix", "/a", "shop", 80))
    assert parsed.gateways == (Gateway("shop/gate", (Server(80, ("a.example",)),), NOWHERE),)
    assert parsed.tables == (
        RouteTable(("a.example",), routes, ("shop/gate",), NOWHERE, namespace="shop"),
    )
    assert [route.at.line for route in parsed.tables[0].routes] == [10, 9]
    assert parsed.dialect == "Ingress"


PATHS = INGRESS.partition("  rules:")[2]
#: Text, what stands there and what is written instead, where the error points to, what it says.
BAD = {
    "a wrong key": (POLICY, "simpleCb", "simpelCb", "simpelCb", "did you mean 'simpleCb'?"),
    "a wrong word": (POLICY, "RANDOM", "RANDUM", "RANDUM", "did you mean 'RANDOM'?"),
    "too much": (POLICY, "Percent: 10", "Percent: 101", "101", "from 0 to 100"),
    "no duration": (POLICY, "30s", "30 s", "30 s", "a duration as 5s, 100ms or 1m30s"),
    "no port": (EGRESS, "port: 80", "port: 0", "0, protocol", "from 1 to 65535"),
    "no protocol": (EGRESS, ": http}", ": htpp}", "htpp", "did you mean 'http'?"),
    "no ports": (EGRESS, "{port: 80, protocol: http}", "", "[]", "at least one port"),
    "TLS": (INGRESS, "  rules:", "  tls: [{secretName: s}]\n  rules:", "tls", "not supported yet"),
    "a port by name": (INGRESS, "8080", "web", "web", "a port by its name is not supported"),
    "no path": (INGRESS, PATHS, " []\n", "rules: []", "at least one rule with a path"),
}


@pytest.mark.parametrize(("text", "old", "new", "part", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named_by_its_place(
    text: str, old: str, new: str, part: str, message: str
) -> None:
    assert text.count(old) == 1
    wrong = "---\n".join([RULE, text.replace(old, new)])
    before = wrong[: wrong.index(part)].splitlines()
    with pytest.raises(BadRules) as error:
        rules.read_rules(manifest.parse(wrong, "old.yaml"))
    position = f"old.yaml:{len(before)}:{len(before[-1]) + 1}: "
    assert str(error.value).startswith(position), (position, str(error.value))
    assert message in str(error.value)


TWINS = [(POLICY, ("name: p", "name: q")), (EGRESS, ("name: e", "name: f"))]


@pytest.mark.parametrize(("text", "renamed"), TWINS)
def test_two_for_the_same_are_refused(text: str, renamed: tuple[str, str]) -> None:
    with pytest.raises(BadRules, match="a second "):
        read(RULE, text, text.replace(*renamed))


NAMED = INGRESS.replace(", annotations: {kubernetes.io/ingress.class: istio}", "").replace(
    "spec:\n", "spec:\n  ingressClassName: istio\n"
)


def test_an_ingress_by_the_name_of_its_class_says_the_same() -> None:
    assert read(NAMED) == read(INGRESS)


@pytest.mark.parametrize(
    ("text", "controller", "is_read"),
    [
        (NAMED, "k8s.io/ingress-nginx", False),
        (NAMED.replace("Name: istio", "Name: public"), "istio.io/ingress-controller", True),
        (NAMED.replace("Name: istio", "Name: other"), "istio.io/ingress-controller", False),
    ],
)
def test_an_ingress_class_says_whose_an_ingress_is(
    text: str, controller: str, is_read: bool
) -> None:
    name = "public" if is_read else "istio"
    ingress_class = (
        f"kind: IngressClass\nmetadata: {{name: {name}}}\nspec: {{controller: {controller}}}\n"
    )
    classes = ingress.find_istio_classes(
        manifest.parse(f"apiVersion: networking.k8s.io/v1\n{ingress_class}", "class.yaml")
    )
    documents = manifest.parse(text, "old.yaml")
    if is_read:
        assert rules.read_rules(documents, classes=classes).tables == read(INGRESS).tables
        return
    with pytest.raises(BadRules, match="Ingress of extensions/v1beta1 is not a rule that"):
        rules.read_rules(documents, classes=classes)


def test_an_ingress_class_without_a_controller_is_named_by_its_place() -> None:
    text = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: a}\nspec: {}\n"
    with pytest.raises(BadRules, match=r"class.yaml:4.*controller"):
        ingress.find_istio_classes(manifest.parse(text, "class.yaml"))


def test_an_ingress_of_another_class_is_not_read() -> None:
    with pytest.raises(BadRules, match="Ingress of extensions/v1beta1 is not a rule that"):
        read(INGRESS.replace("class: istio", "class: nginx"))


@pytest.mark.parametrize("key", ["destination", "source"])
def test_a_policy_for_a_text_is_refused(key: str) -> None:
    text = (
        "apiVersion: config.istio.io/v1alpha2\nkind: DestinationPolicy\nmetadata: {name: a}\n"
        f"spec: {{destination: {{name: b}}, {key}: shop}}\n"
    ).replace("destination: {name: b}, destination", "destination")
    with pytest.raises(BadRules, match=f"spec.{key}: expected a mapping, found 'shop'"):
        rules.read_rules(manifest.parse(text, "old.yaml"))


def test_a_backend_of_both_versions_is_refused() -> None:
    text = INGRESS.replace("serviceName:", "service: {name: a}, serviceName:")
    assert text != INGRESS
    with pytest.raises(BadRules, match="'serviceName' has no place beside 'service'"):
        read(text)
