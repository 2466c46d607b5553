"""All dialects at once: nothing is passed over, and one name is one object."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.base.names import qualify_host
from meshproof.documents import manifest
from meshproof.rules.model import RuleSet

OLD = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: a}
spec: {destination: {name: a}, route: [{labels: {version: v1}}]}
"""
NEW = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [b], http: [{route: [{destination: {host: b}}]}]}
"""
SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}
"""
POLICY = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a}
"""


def read(*texts: str) -> RuleSet:
    return rules.read_rules(manifest.parse("---\n".join(texts), "r.yaml"))


def refused(*texts: str) -> str:
    with pytest.raises(BadRules) as error:
        read(*texts)
    return str(error.value)


def test_both_dialects_in_one_set() -> None:
    parsed = read(OLD, POLICY, NEW)
    assert [route.hosts[0].partition(".")[0] for route in parsed.tables] == ["b", "a"]
    assert len(parsed.policies) == 1


def test_sets_add_up() -> None:
    assert read(OLD) + read(POLICY) == read(OLD, POLICY)
    assert RuleSet().is_empty
    assert not read(POLICY).is_empty


UNKNOWN = {
    "kind": (
        NEW.replace("VirtualService", "VirtualServise"),
        "VirtualServise of networking.istio.io/v1 is not a rule that meshproof reads; "
        "did you mean 'VirtualService'?",
    ),
    "group": (
        NEW.replace("networking.", "security."),
        "VirtualService of security.istio.io/v1 is not a rule that meshproof reads",
    ),
    "version": (
        NEW.replace("/v1", "/v2"),
        "VirtualService of networking.istio.io/v2 is not a rule that meshproof reads",
    ),
    "policy of the wrong group": (
        POLICY.replace("security.", "networking."),
        "PeerAuthentication of networking.istio.io/v1 is not a rule that meshproof reads",
    ),
    "app": (
        "apiVersion: apps/v1\nkind: Deployment\n",
        "Deployment of apps/v1 is not a rule that meshproof reads",
    ),
    "old type": (
        OLD.replace("v1alpha2", "v1alpha1"),
        "RouteRule of config.istio.io/v1alpha1 is not a rule that meshproof reads",
    ),
}


@pytest.mark.parametrize(("text", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_document_of_no_known_dialect_is_never_passed_over(text: str, message: str) -> None:
    assert refused(POLICY, text) == f"r.yaml:5:1: {message}"


OUTERMOST = {
    "no apiVersion": (
        OLD.replace("apiVersion", "apiversion"),
        "1:1: the document: 'apiVersion' is missing; is 'apiversion' a misspelling of it?",
    ),
    "no kind": ("apiVersion: a/v1\n", "1:1: the document: 'kind' is missing"),
    "no metadata": (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n",
        "1:1: the document: 'metadata' is missing",
    ),
    "no name": (POLICY.replace("name: a", "namespace: a"), "3:11: metadata: 'name' is missing"),
    "no spec": (NEW.partition("spec")[0], "1:1: the document: 'spec' is missing"),
    "empty spec": (f"{NEW.partition('spec')[0]}spec:\n", "4:1: the document: 'spec' is empty"),
    "key beside spec": (
        f"{NEW}gateways: [a]\n",
        "5:1: gateways: unknown key 'gateways'; did you mean 'spec.gateways'?",
    ),
    "namespace misspelt": (
        POLICY.replace("{name: a}", "{name: a, namepsace: b}"),
        "3:21: metadata.namepsace: unknown key 'namepsace'; did you mean 'namespace'?",
    ),
}


@pytest.mark.parametrize(("text", "message"), OUTERMOST.values(), ids=OUTERMOST)
def test_the_outermost_keys(text: str, message: str) -> None:
    assert refused(text) == f"r.yaml:{message}"


@pytest.mark.parametrize(
    ("text", "kind"),
    [(OLD, "RouteRule"), (NEW, "VirtualService"), (POLICY, "PeerAuthentication")],
)
def test_the_second_of_one_name_would_replace_the_first(text: str, kind: str) -> None:
    line = text.count("\n") + 2
    assert refused(text, text) == (
        f"r.yaml:{line}:1: two objects of kind {kind} are named 'a'; this one would replace "
        "the one at r.yaml:1"
    )


def test_one_name_in_two_namespaces_is_two_objects() -> None:
    other_policy = POLICY.replace("{name: a}", "{name: a, namespace: b}")
    assert [policy.namespace for policy in read(POLICY, other_policy).policies] == ["default", "b"]


def test_what_routes_nothing_is_no_green_light() -> None:
    assert refused("") == "no rules found"
    assert refused(SUBSETS) == "r.yaml:1:1: no rules found: subsets alone route nothing"


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("a", "a.shop.svc.cluster.local"),
        ("a.b", "a.b"),
        ("a.b.svc", "a.b.svc"),
        ("a.b.svc.cluster.local", "a.b.svc.cluster.local"),
        ("www.example.com", "www.example.com"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
    ],
)
def test_only_names_without_a_dot_are_made_full(host: str, full: str) -> None:
    assert qualify_host(host, "shop") == full
