"""One defect gives one finding, on its line, with the word that was meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import parse
from meshproof.lint import Finding, Project, lint

MANIFESTS = Path(str(files("meshproof.manifests")))
HEAD = {
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "RouteRule": "config.istio.io/v1alpha2",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
}


def _document(kind: str, body: str) -> str:
    """Return an object whose spec begins in line 4."""
    return f"apiVersion: {HEAD[kind]}\nkind: {kind}\nmetadata: {{name: x}}\n{body}"


def _lint(content: str) -> list[Finding]:
    """Return the structural findings, without the one that every RouteRule has."""
    findings = lint(parse(content, "f.yaml"), suppress=["MP0204"])
    return [finding for finding in findings if finding.code < "MP03"]


#: What is wrong -> kind, its spec, then (line, code, suggestion) of every finding.
CASES: dict[str, tuple[str, str, list[tuple[int, str, str]]]] = {
    "a part of the spec stands at the root": (
        "VirtualService",
        "spec:\n  hosts: [a]\nhttp:\n- route:\n  - destination: {host: a}\n",
        [(6, "MP0101", "indent it, to stand under 'spec'")],
    ),
    "a level is left out": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - route:\n    - host: a\n",
        [(8, "MP0101", "destination.host")],
    ),
    "a condition is not indented": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - match:\n    - uri:\n      exact: /x\n"
        "    route:\n    - destination: {host: a}\n",
        [(9, "MP0101", "indent it, to stand under 'uri'")],
    ),
    "the weight stands too deep": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - route:\n"
        "    - destination:\n        host: a\n        weight: 20\n"
        "    - destination:\n        host: b\n      weight: 80\n",
        [(10, "MP0101", "move it one level up: it is a key of 'spec.http[0].route[0]'")],
    ),
    "one host where a list is needed": (
        "VirtualService",
        "spec:\n  hosts: a\n  http:\n  - route:\n    - destination: {host: a}\n",
        [(5, "MP0103", "write '- ' before it: a list of one")],
    ),
    "the key and the list are wrong at once": (
        "VirtualService",
        "spec:\n  host: a\n  http:\n  - route:\n    - destination: {host: a}\n",
        [(5, "MP0101", "hosts")],
    ),
    "a bare text is a header's value": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - match:\n    - headers:\n        cookie: user=burr\n"
        "    route:\n    - destination: {host: a}\n",
        [(9, "MP0103", '{exact: "user=burr"}')],
    ),
    "regexp is regex": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - match:\n    - headers:\n        cookie:\n"
        "          regexp: a\n    route:\n    - destination: {host: a}\n",
        [(10, "MP0101", "regex")],
    ),
    "a VirtualService in RouteRule's words": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  precedence: 2\n  http:\n  - match:\n    - request:\n"
        "        headers: {cookie: {exact: a}}\n    httpReqTimeout: {simpleTimeout: {}}\n"
        "    route:\n    - destination: {name: a}\n      labels: {version: v1}\n",
        [
            (6, "MP0205", "the order of the http list"),
            (9, "MP0205", "headers, without request above it"),
            (11, "MP0205", "timeout"),
            (13, "MP0205", "host"),
            (14, "MP0205", "destination.subset"),
        ],
    ),
    "weights in quotes and with a sign": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n"
        "      weight: '50'\n    - destination: {host: b}\n      weight: 50%\n",
        [(9, "MP0103", "without quotes: 50"), (11, "MP0103", "without quotes: 50")],
    ),
    "no weight at all in a split": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n"
        "    - destination: {host: b}\n",
        [(8, "MP0112", "weight: 50")],
    ),
    "a single destination of weight 0": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      weight: 0\n",
        [(7, "MP0113", "drop the weight, or the route")],
    ),
    "keys of lists without a value": (
        "VirtualService",
        "spec:\n  hosts:\n  http:\n",
        [
            (5, "MP0110", "write an entry, or drop the key"),
            (6, "MP0110", "write an entry, or drop the key"),
        ],
    ),
    "a spec without a value": ("VirtualService", "spec:\n", [(4, "MP0106", "")]),
    "no spec": ("VirtualService", "", [(1, "MP0106", "")]),
    "no hosts, and nobody delegates": (
        "VirtualService",
        "spec:\n  http:\n  - route:\n    - destination: {host: a}\n",
        [(4, "MP0106", "hosts: [the service's name]")],
    ),
    "durations without unit, too short, in words": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - timeout: 0s\n    retries:\n      perTryTimeout: 2\n"
        "    fault:\n      delay:\n        fixedDelay: 5 Sec\n"
        "    route:\n    - destination: {host: a}\n",
        [(7, "MP0105", ""), (9, "MP0103", "2s"), (12, "MP0105", "5s")],
    ),
    "numbers out of their range": (
        "VirtualService",
        "spec:\n  hosts: [a]\n  http:\n  - fault:\n      delay: {percent: 150, fixedDelay: 5s}\n"
        "    route:\n    - destination: {host: a, port: {number: 90800}}\n",
        [(8, "MP0105", ""), (10, "MP0105", "")],
    ),
    "a required key is missing, and a label is a number": (
        "DestinationRule",
        "spec:\n  subsets:\n  - name: v1\n    labels: {version: 1}\n",
        [(4, "MP0106", ""), (7, "MP0103", 'in quotes: "1"')],
    ),
    "the mode stands where its mapping is needed": (
        "PeerAuthentication",
        "spec:\n  mtls: STRICT\n",
        [(5, "MP0103", '{mode: "STRICT"}')],
    ),
    "Istio 0.1's words in a RouteRule": (
        "RouteRule",
        "spec:\n  destination: reviews.default.svc.cluster.local\n  match:\n    httpHeaders:\n"
        "      cookie: {exact: a}\n  route:\n  - tags: {version: v1}\n    weight: 100\n",
        [
            (5, "MP0205", "{service: reviews.default.svc.cluster.local}"),
            (7, "MP0205", "request.headers"),
            (10, "MP0205", "labels"),
        ],
    ),
    "weights of a RouteRule over 100": (
        "RouteRule",
        "spec:\n  destination: {name: a}\n  route:\n  - labels: {version: v1}\n    weight: 50\n"
        "  - labels: {version: v2}\n    weight: 60\n",
        [(6, "MP0114", "weights that sum to 100, such as 45, 55")],
    ),
    "a RouteRule's single route needs no weight": (
        "RouteRule",
        "spec:\n  destination: {name: a}\n  route:\n  - labels: {version: v1}\n",
        [],
    ),
    "a RouteRule's empty match": (
        "RouteRule",
        "spec:\n  destination: {name: a}\n  match: {}\n  route:\n  - labels: {version: v1}\n",
        [(6, "MP0109", "write the condition, or leave the key out where every request is meant")],
    ),
    "two typos in one rule of Gateway API": (
        "HTTPRoute",
        "spec:\n  rules:\n  - match:\n    - path: {type: Prefix, value: /}\n    backendRef:\n"
        "    - {name: a, port: 80}\n",
        [(6, "MP0101", "matches"), (7, "MP0104", "PathPrefix"), (8, "MP0101", "backendRefs")],
    ),
    "missing weights are 1 in Gateway API": (
        "HTTPRoute",
        "spec:\n  rules:\n  - backendRefs:\n    - {name: a, port: 80}\n    - {name: b, port: 80}\n",
        [],
    ),
    "an Ingress in the words of v1beta1": (
        "Ingress",
        "spec:\n  rules:\n  - http:\n      paths:\n      - path: /a\n        pathType: Exact\n"
        "        backend:\n          serviceName: a\n          servicePort: 80\n",
        [
            (11, "MP0205", "service.name"),
            (12, "MP0205", "service.port.number, or service.port.name"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_defect_gives_one_finding(case: str) -> None:
    kind, body, expected = CASES[case]
    findings = _lint(_document(kind, body))
    rows = [(finding.at.line, finding.code, finding.suggestion) for finding in findings]
    assert rows == expected, "\n".join(map(str, findings))


#: What the head of a document says -> what is found (line, code, suggestion).
HEADS = {
    "kind: DestinationRule\nmetadata: {name: a}\nspec: {host: a}": [
        (1, "MP0107", "apiVersion: networking.istio.io/v1")
    ],
    "apiVersion: networking.istio.io/v1\nmetadata: {name: a}\nspec: {host: a}": [
        (1, "MP0107", "kind: DestinationRule")
    ],
    "metadata: {name: a}\nspec: {destination: {name: a}, route: [{labels: {version: v1}}]}": [
        (
            1,
            "MP0107",
            "apiVersion: config.istio.io/v1alpha2 and kind: RouteRule, and then meshproof convert",
        )
    ],
    "apiVersion: networking.istio.io/v1\nkind: destinationrule\nmetadata: {name: a}\n"
    "spec: {hos: a}": [(2, "MP0201", "DestinationRule"), (4, "MP0101", "host")],
    "apiVersion: networking.istio.io/v1\nkind: Quux\nmetadata: {name: a}": [(2, "MP0201", "")],
    "apiVersion: networkin.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n"
    "spec: {hos: a}": [(1, "MP0202", "networking.istio.io/v1"), (4, "MP0101", "host")],
    "apiVersion: networking.istio.io\nkind: DestinationRule\nmetadata: {name: a}\n"
    "spec: {host: a}": [(1, "MP0202", "networking.istio.io/v1")],
    "apiVersion: v1\nkind: Gateway\nmetadata: {name: a}\n"
    "spec: {gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}]}": [
        (1, "MP0202", "gateway.networking.k8s.io/v1")
    ],
    "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: a}": [(2, "MP0203", "")],
    "apiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {name: a}": [(2, "MP0203", "")],
    "replicas: 2\nimage: orders": [(1, "MP0203", "")],
    "apiVersion: 1\nkind: VirtualService\nmetadata: {name: a}": [(1, "MP0103", "")],
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}": [],
    "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: HTTPRoute\nmetadata: {name: a}\n"
    "spec: {rules: [{backendRefs: [{name: a, port: 80}]}]}": [
        (1, "MP0207", "gateway.networking.k8s.io/v1")
    ],
    "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}": [
        (1, "MP0207", "policy/v1")
    ],
}


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.replace("\n", "; ")[:70])
def test_what_a_document_is(head: str) -> None:
    findings = _lint(head)
    rows = [(finding.at.line, finding.code, finding.suggestion) for finding in findings]
    assert rows == HEADS[head], "\n".join(map(str, findings))


def test_a_removed_kind_in_todays_group_is_one_finding() -> None:
    content = _document("RouteRule", "spec: {destination: {name: a}}\n").replace(
        HEAD["RouteRule"], "networking.istio.io/v1alpha3"
    )
    assert [(finding.at.line, finding.code) for finding in lint(parse(content, "f.yaml"))] == [
        (2, "MP0204")
    ]


def test_a_delegate_needs_no_hosts() -> None:
    root = "spec:\n  hosts: [a]\n  http:\n  - delegate: {name: part}\n"
    part = _document("VirtualService", "spec:\n  http:\n  - route:\n    - destination: {host: a}\n")
    content = f"{_document('VirtualService', root)}---\n{part.replace('name: x', 'name: part')}"
    assert _lint(content) == []


def test_an_aliased_mistake_is_found_once() -> None:
    route = "  - &route\n    route:\n    - destination: {hots: a}\n  - *route\n"
    findings = _lint(_document("VirtualService", f"spec:\n  hosts: [a]\n  http:\n{route}"))
    assert [(finding.at.line, finding.suggestion) for finding in findings] == [(9, "host")]


def test_a_kustomization_is_passed_over() -> None:
    content = "resources: [bookinfo.yaml]\n"
    assert lint(parse(content, "base/kustomization.yaml")) == []
    assert [finding.code for finding in lint(parse(content, "base/other.yaml"))] == ["MP0203"]


def test_later_checks_see_the_document_as_it_was_meant() -> None:
    content = (
        "apiversion: config.istio.io/v1alpha2\nkind: RouteRule\nmetadata: {name: x}\n"
        "spec:\n  destination: reviews\n  percendence: 2\n  match:\n    httpHeaders:\n"
        "      cookie: {regexp: a}\n  route:\n  - tags: {version: v3}\n    weigth: '100'\n"
    )
    (document,) = Project(parse(content, "f.yaml")).named_documents(
        "RouteRule", group="config.istio.io"
    )
    spec = read_spec(document)
    assert spec is not None
    assert spec.to_python() == {
        "destination": {"name": "reviews"},
        "precedence": 2,
        "match": {"request": {"headers": {"cookie": {"regex": "a"}}}},
        "route": [{"labels": {"version": "v3"}, "weight": 100}],
    }
    (regex,) = find_values(spec, "match", "request", "headers", "cookie", "regex")
    assert (read_text(regex), regex.at.line) == ("a", 9)


def _swapped(key: str) -> str:
    at = next(i for i in range(1, len(key) - 1) if key[i] != key[i + 1])
    return key[:at] + key[at + 1] + key[at] + key[at + 2 :]


def _shortened(key: str) -> str:
    return key[: len(key) // 2] + key[len(key) // 2 + 1 :]


MISSPELLINGS: tuple[tuple[Callable[[str], str], str], ...] = (
    (_swapped, "MP0101"),
    (_shortened, "MP0101"),
    (str.upper, "MP0102"),
)
#: Keys that the user chooses: labels, header names. No spelling of theirs is wrong.
OWN_KEYS = ("cookie", "istio", "version")
RULE_FILES = sorted([*(MANIFESTS / "rules").rglob("*.yaml"), *MANIFESTS.glob("apps/*gateway.yaml")])


def _misspelt(content: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield the text with each key misspelt in each way: line, key, code, text."""
    lines = content.splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"^[ -]*([A-Za-z]{4,})(?=:)", line)
        if key is None or key[1] in OWN_KEYS:
            continue
        for misspell, code in MISSPELLINGS:
            wrong = line.replace(f"{key[1]}:", f"{misspell(key[1])}:", 1)
            changed = "\n".join([*lines[:number], wrong, *lines[number + 1 :]])
            yield number + 1, key[1], code, changed


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_misspelt_key_is_one_finding(file: Path) -> None:
    tried = 0
    for line, key, code, content in _misspelt(file.read_text()):
        rows = [(finding.at.line, finding.code, finding.suggestion) for finding in _lint(content)]
        assert rows == [(line, code, key)], content.splitlines()[line - 1]
        tried += 1
    assert tried >= 6


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_good_rules_have_no_finding(file: Path) -> None:
    apps = (MANIFESTS / "apps" / "bookinfo.yaml").read_text()
    assert _lint(file.read_text()) == []
    assert _lint(apps) == []


def test_a_long_key_or_value_is_no_riddle() -> None:
    body = f"spec:\n  {'host' * 100}: a\n  host: 1\n  exportTo: {'x' * 5000}\n"
    unknown, number, text_for_list = _lint(_document("DestinationRule", body))
    assert (unknown.code, "did you mean" in unknown.message) == ("MP0101", False)
    assert number.suggestion == 'in quotes: "1"'
    assert len(text_for_list.message) < 150


def test_thousands_of_unknown_keys_are_named_without_a_search() -> None:
    keys = "".join(f"  hosts{number}: a\n" for number in range(3000))
    findings = _lint(_document("VirtualService", f"spec:\n  hosts: [a]\n{keys}"))
    assert len(findings) == 3000
    assert not any("did you mean" in finding.message for finding in findings)


WORDS = ["apiVersion", "kind", "metadata", "spec", "name", "http", "route", "match", "hosts", "uri"]
WORDS += [
    "destination",
    "host",
    "weight",
    "regex",
    "headers",
    "tags",
    "httpHeaders",
    "labels",
    "xx",
]
SCALARS = st.one_of(
    st.sampled_from([*HEAD, *HEAD.values(), "5s", "", "~", "a.b", "50%"]).map(repr),
    st.sampled_from(["null", "true", "-1", "1.5", "{}", "[]"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(WORDS), inner, max_size=5).map(
            lambda content: "{" + ", ".join(f"{key}: {text}" for key, text in content.items()) + "}"
        ),
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(sorted(HEAD)), body=TREES)
def test_no_document_ends_in_a_traceback(kind: str, body: str) -> None:
    content = _document(kind, f"spec: {body}\n")
    for finding in lint(parse(content, "f.yaml")):
        assert finding.message
        assert 1 <= finding.at.line <= 5
