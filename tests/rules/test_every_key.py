"""Every key that the shape of a rule knows is read into the model, or named as not supported.

For each key a small valid object is read with it and without it. The rules, or what is said of
them, must be others, or the key must be listed as one without effect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from meshproof.documents import schema
from meshproof.documents.kinds import Role, explain_unserved, find_role
from meshproof.documents.manifest import Document, parse
from meshproof.documents.schema import Kind, Shape
from meshproof.documents.value import Value
from meshproof.inventory import service_entries, sidecars
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import is_catch_all
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.oracle import gaps
from meshproof.rules import reading
from meshproof.rules.support import SUPPORT, find_support

DESTINATION = {"destination": {"host": "shop"}}
EXPRESSION = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a"]}
PREFIX = {"path": {"type": "ReplacePrefixMatch"}}
BACKEND = {"name": "shop", "port": 80}
SERVICE = {"kind": "Service", "group": "", "name": "shop"}
NAMED_BACKEND = {"service": {"name": "shop", "port": {"number": 80}}}
GATEWAY_GROUP = "gateway.networking.k8s.io"
V1 = f"{GATEWAY_GROUP}/v1"
#: (group, kind) -> specs that are valid; a key is put into each in turn until it is read.
SPECS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("networking.istio.io", "VirtualService"): [
        {"hosts": ["shop"], "http": [{"route": [DESTINATION]}]},
        {"hosts": ["shop"], "http": [{}]},
        {"hosts": ["shop"], "http": [{"redirect": {"uri": "/a"}}]},
        {"hosts": ["shop"], "http": [{"delegate": {"name": "a"}}]},
        {"hosts": ["shop"], "http": [{"route": [DESTINATION, {**DESTINATION, "weight": 1}]}]},
        {
            "hosts": ["shop"],
            "http": [
                {
                    "route": [DESTINATION],
                    "fault": {"abort": {"httpStatus": 500}, "delay": {"fixedDelay": "1s"}},
                    "mirror": {"host": "shop"},
                    "rewrite": {"uriRegexRewrite": {"match": "a"}},
                }
            ],
        },
    ],
    ("networking.istio.io", "DestinationRule"): [{"host": "shop", "subsets": [{"name": "v1"}]}],
    ("networking.istio.io", "Gateway"): [
        {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["*"]}],
        },
        {
            "servers": [
                {
                    "port": {"number": 443, "protocol": "HTTPS"},
                    "hosts": ["*"],
                    "tls": {"mode": "SIMPLE", "credentialName": "a"},
                }
            ],
        },
    ],
    ("security.istio.io", "PeerAuthentication"): [
        {"selector": {"matchLabels": {"app": "a"}}, "portLevelMtls": {"80": {}}}
    ],
    ("gateway.networking.k8s.io", "Gateway"): [
        {
            "gatewayClassName": "istio",
            "listeners": [{"name": "web", "port": 80, "protocol": "HTTP"}],
        },
        {
            "gatewayClassName": "istio",
            "listeners": [
                {
                    "name": "web",
                    "port": 80,
                    "protocol": "HTTP",
                    "allowedRoutes": {
                        "namespaces": {
                            "from": "Selector",
                            "selector": {"matchExpressions": [EXPRESSION]},
                        }
                    },
                }
            ],
        },
        {
            "gatewayClassName": "istio",
            "listeners": [
                {
                    "name": "web",
                    "port": 443,
                    "protocol": "HTTPS",
                    "tls": {"certificateRefs": [{"name": "a"}]},
                }
            ],
        },
    ],
    ("gateway.networking.k8s.io", "HTTPRoute"): [
        {"parentRefs": [SERVICE], "rules": [{}]},
        *(
            {
                "parentRefs": [SERVICE],
                "rules": [
                    {
                        "filters": [{"type": kind, key: content}],
                        "backendRefs": [] if kind == "RequestRedirect" else [BACKEND],
                    }
                ],
            }
            for kind, key, content in (
                ("RequestHeaderModifier", "requestHeaderModifier", {}),
                ("ResponseHeaderModifier", "responseHeaderModifier", {}),
                ("RequestMirror", "requestMirror", {"backendRef": BACKEND}),
                ("RequestRedirect", "requestRedirect", {}),
                ("URLRewrite", "urlRewrite", {"hostname": "a"}),
                ("RequestRedirect", "requestRedirect", PREFIX),
                ("URLRewrite", "urlRewrite", PREFIX),
            )
        ),
        *(
            {
                "parentRefs": [SERVICE],
                "rules": [{"backendRefs": [{**BACKEND, "filters": [{"type": kind, key: {}}]}]}],
            }
            for kind, key in (
                ("RequestHeaderModifier", "requestHeaderModifier"),
                ("ResponseHeaderModifier", "responseHeaderModifier"),
            )
        ),
        {"parentRefs": [{"name": "web"}], "rules": [{"backendRefs": [BACKEND]}]},
    ],
    ("gateway.networking.k8s.io", "ReferenceGrant"): [
        {
            "from": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute", "namespace": "a"}],
            "to": [{"kind": "Service"}],
        }
    ],
    ("config.istio.io", "RouteRule"): [
        {"destination": {"name": "shop"}, "route": [{"weight": 100}]},
        {"destination": {"name": "shop"}, "redirect": {}},
        {"destination": {"name": "shop"}, "route": [{}], "match": {"source": {"name": "a"}}},
        {
            "destination": {"name": "shop"},
            "route": [
                {"destination": {"name": "a"}, "weight": 50},
                {"destination": {"name": "b"}, "weight": 50},
            ],
            "mirror": {"name": "a"},
        },
        {
            "destination": {"name": "shop"},
            "route": [{}],
            "httpReqTimeout": {"simpleTimeout": {"timeout": "1s"}},
            "httpReqRetries": {"simpleRetry": {"attempts": 1}},
            "httpFault": {"abort": {"httpStatus": 500}, "delay": {"fixedDelay": "1s"}},
            "match": {"source": {"labels": {"a": "b"}}},
        },
    ],
    ("config.istio.io", "DestinationPolicy"): [{"destination": {"name": "shop"}}],
    ("config.istio.io", "EgressRule"): [
        {"destination": {"service": "a.example"}, "ports": [{"port": 80, "protocol": "http"}]}
    ],
    ("networking.k8s.io", "Ingress"): [
        {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "shop"}}}]}}]},
        {"rules": [{"http": {"paths": [{"path": "/a", "backend": NAMED_BACKEND}]}}]},
        {"defaultBackend": {"service": {"name": "shop"}}},
    ],
}
SPECS["gateway.networking.k8s.io", "GRPCRoute"] = [
    spec
    for spec in SPECS["gateway.networking.k8s.io", "HTTPRoute"]
    if "Redirect" not in str(spec) and "URLRewrite" not in str(spec)
]
SPECS["gateway.networking.k8s.io", "GRPCRoute"].append(
    {"parentRefs": [SERVICE], "rules": [{"matches": [{"method": {"service": "a"}}]}]}
)
#: Path -> a value that says something, where the smallest valid one is what holds without it.
VALUES: dict[str, Any] = {
    "spec.http.corsPolicy.unmatchedPreflights": "IGNORE",
    "spec.mtls.mode": "DISABLE",
    "spec.listeners.allowedRoutes.namespaces.from": "All",
    "spec.listeners.tls.mode": "Passthrough",
    "spec.rules.backendRefs.weight": 5,
    "spec.rules.matches.headers.type": "RegularExpression",
    "spec.rules.matches.queryParams.type": "RegularExpression",
    "spec.rules.matches.method.type": "RegularExpression",
    "spec.to.group": "apps",
    "spec.precedence": 5,
    "spec.rules.http.paths.pathType": "Prefix",
    "spec.ingressClassName": "istio",
}
WEB = {"name": "web", "port": 80, "protocol": "HTTP"}
GATEWAY = {"gatewayClassName": "istio", "listeners": [WEB]}
#: (group, kind) -> what its object stands beside: (apiVersion, kind, namespace, name, spec).
COMPANIONS: dict[tuple[str, str], list[tuple[str, str, str, str, dict[str, Any]]]] = {
    (GATEWAY_GROUP, "Gateway"): [
        (V1, "HTTPRoute", "a", "other", {"parentRefs": [{"name": "shop", "namespace": "default"}]})
    ],
    (GATEWAY_GROUP, "HTTPRoute"): [(V1, "Gateway", "default", "web", GATEWAY)],
    (GATEWAY_GROUP, "GRPCRoute"): [(V1, "Gateway", "default", "web", GATEWAY)],
    (GATEWAY_GROUP, "ReferenceGrant"): [
        (V1, "Gateway", "a", "web", GATEWAY),
        (
            V1,
            "HTTPRoute",
            "a",
            "other",
            {
                "parentRefs": [{"name": "web"}],
                "rules": [{"backendRefs": [{**BACKEND, "namespace": "default"}]}],
            },
        ),
    ],
    ("config.istio.io", "RouteRule"): [
        (
            "config.istio.io/v1alpha2",
            "RouteRule",
            "default",
            "other",
            {"destination": {"name": "shop"}},
        )
    ],
}
#: Kind -> the content of filters whose type is refused: nothing of them is read, all is refused.
REFUSED_FILTERS = re.compile(r"\.filters\.(cors|extensionRef|externalAuth)\b")
#: Filters of a backend of which the type is refused there.
REFUSED_BACKEND_FILTERS = re.compile(
    r"backendRefs\.filters\.(requestMirror|requestRedirect|urlRewrite)\b"
)


def list_paths(shape: Shape, path: str) -> Iterator[tuple[str, Shape]]:
    """Yield every path of keys below a shape, and the shape of what stands there."""
    shape = shape.mapping_shape
    for key, child in shape.keys.items():
        yield f"{path}.{key}", child
        yield from list_paths(child, f"{path}.{key}")
    if shape.element is not None and shape.type == "mapping":
        yield from list_paths(shape.element, f"{path}.*")


def make_value(shape: Shape) -> Any:
    """Return a small valid value for a shape."""
    if shape.type == "mapping":
        if shape.element is not None:
            return {"a": make_value(shape.element)}
        exclusive = {key for group in shape.exclusive_keys for key in group[1:]}
        required = [key for key in shape.required_keys if key not in exclusive]
        return {key: make_value(shape.keys[key]) for key in required}
    if shape.type == "list" and shape.element is not None:
        return [make_value(shape.element)]
    if shape.type in ("integer", "number"):
        return int(shape.minimum or 1)
    if shape.type == "word":
        return shape.choices[0]
    return {
        "boolean": True,
        "duration": "1s",
        "duration or 0s": "1s",
        "integer or text": 80,
        "protocol": "HTTP",
        "any": {},
    }.get(shape.type, "a")


def insert(content: Any, keys: list[str], shape: Shape, root: Shape, path: str = "") -> Any:
    """Put a valid value at a path, with the mappings and lists above it; return what holds it."""
    if isinstance(content, list):
        if not content:
            content.append({})
        return insert(content[0], keys, shape, root, path)
    key = "a" if keys[0] == "*" else keys[0]
    child = (root.mapping_shape.element if keys[0] == "*" else None) or root.mapping_shape.keys[key]
    if len(keys) == 1:
        content.setdefault(key, VALUES.get(path, make_value(shape)))
        return content
    if not isinstance(content.get(key), (dict, list)):
        content[key] = make_value(child)
    return insert(content[key], keys[1:], shape, child, path)


def cases() -> list[tuple[str, str, str]]:
    """Return (group, kind, path) of every key of every kind that rules are read from."""
    result = []
    for group, name in SPECS:
        kind = schema.load_kind(group, name)
        assert kind is not None
        result += [(group, name, path) for path, _ in list_paths(kind.root.keys["spec"], "spec")]
    return result


CASES = cases()


class Recorder:
    """Records the paths of the keys that a reader asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: set[str] = set()
        for name in ("get", "need"):
            self._record(monkeypatch, name)

    def record_lookups(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        """Record the paths that a module looks up by `find_values`, too."""
        find_values = module.find_values

        def find(parent: Value | None, *path: str) -> list[Value]:
            values: list[Value] = find_values(parent, *path)
            for value in values:
                keys = normalize(value.path)
                self.paths |= {keys, *list_parents(keys)}
            return values

        monkeypatch.setattr(module, "find_values", find)

    def _record(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        original = getattr(Value, name)

        def ask(value: Value, key: str) -> Value | None:
            result: Value | None = original(value, key)
            if result is not None:
                self.paths.add(normalize(result.path))
            return result

        monkeypatch.setattr(Value, name, ask)


def normalize(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def read(kind: Kind, spec: dict[str, Any], annotations: dict[str, str]) -> tuple[str, list[str]]:
    """Return the rules of an object and what is said of them, both without places."""
    metadata = {"name": "shop", "annotations": annotations}
    own = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}
    others = [
        {
            "apiVersion": version,
            "kind": companion,
            "metadata": {"name": name, "namespace": namespace},
            "spec": content,
        }
        for version, companion, namespace, name, content in COMPANIONS.get(
            (kind.group, kind.name), ()
        )
    ]
    text = "\n---\n".join(map(json.dumps, (own, *others)))
    rules = replace(reading.collect_rules(parse(text, "r.yaml")), documents=())
    messages = [normalize(re.sub(r"r\.yaml:\d+:\d+", "", str(error))) for error in rules.problems]
    return re.sub(r"At\([^)]*\)", "", repr(replace(rules, problems=()))), messages


def is_accounted_for(group: str, kind_name: str, path: str) -> bool:
    """Say whether a key changes the rules, is refused by name, or is listed as without effect.

    A mapping or a list of them does what the keys in it do.
    """
    if find_support(group, kind_name).ignores(path):
        return True
    kind = schema.load_kind(group, kind_name)
    assert kind is not None
    spec_shape = kind.root.keys["spec"]
    paths = dict(list_paths(spec_shape, "spec"))
    if paths[path].mapping_shape.keys:
        return any(
            is_accounted_for(group, kind_name, f"{path}.{key}")
            for key in paths[path].mapping_shape.keys
        )
    annotations = {"kubernetes.io/ingress.class": "istio"} if kind_name == "Ingress" else {}
    if path == "spec.ingressClassName":
        annotations = {}  # the annotation would decide before it
    for spec in SPECS[group, kind_name]:
        content = json.loads(json.dumps(spec))
        parent = insert(content, path.split(".")[1:], paths[path], spec_shape, path)
        rules_with, messages_with = read(kind, content, annotations)
        parent.pop("a" if path.endswith(".*") else path.rpartition(".")[2])
        if (rules_with, messages_with) != read(kind, content, annotations):
            return True
        concrete, said = path.replace(".*", ".a"), " ".join(messages_with)
        if any(f"{key} is not supported" in said for key in (concrete, *list_parents(concrete))):
            return True
        if REFUSED_FILTERS.search(path) or REFUSED_BACKEND_FILTERS.search(path):
            return bool(messages_with)
    return False


def list_parents(path: str) -> Iterator[str]:
    """Yield the paths above a path."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def test_every_kind_of_rule_is_here_and_every_other_kind_has_its_role() -> None:
    roles = {
        (group, kind): find_role(group, kind)
        for group in schema.list_groups()
        for kind in schema.list_kinds(group)
    }
    assert {kind for kind, role in roles.items() if role is Role.RULE} == set(SPECS) > set(SUPPORT)
    unserved = [kind for kind, role in roles.items() if role is Role.UNSERVED]
    assert len(unserved) > 20
    assert all(explain_unserved(*kind) for kind in unserved)
    assert Role.UNKNOWN not in roles.values()
    assert len(CASES) > 400


#: Kind that rules stand on -> a valid spec, its reader, and keys that change no response.
INVENTORY: dict[str, tuple[dict[str, Any], Callable[[list[Document]], object], set[str]]] = {
    "ServiceEntry": (
        {"hosts": ["a.example"], "ports": [{"number": 80, "name": "web", "protocol": "HTTP"}]},
        service_entries.read_service_entries,
        {"spec.location", "spec.ports.name"},
    ),
    "Sidecar": (
        {"egress": [{"hosts": ["*/*"], "port": {"number": 80}}]},
        sidecars.read_sidecars,
        {f"spec.egress.port.{key}" for key in ("name", "protocol", "targetPort")},
    ),
}


def find_lost_inventory_keys(kind_name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the keys of a kind that are neither read nor named as not proven by requests."""
    spec, read, ignored = INVENTORY[kind_name]
    kind = schema.load_kind("networking.istio.io", kind_name)
    assert kind is not None
    spec_shape, lost = kind.root.keys["spec"], []
    for path, shape in list_paths(spec_shape, "spec"):
        content = json.loads(json.dumps(spec))
        insert(content, path.split(".")[1:], shape, spec_shape)
        head = {"apiVersion": kind.api_version, "kind": kind_name, "metadata": {"name": "shop"}}
        documents = parse(json.dumps({**head, "spec": content}), "r.yaml")
        with monkeypatch.context() as patch:
            recorder = Recorder(patch)
            recorder.record_lookups(patch, service_entries)
            read(documents)
        named = {normalize(gap.path) for gap in gaps.find_unproven_fields(documents)}
        concrete = path.replace(".*", ".a")
        accounted = recorder.paths | named | ignored
        if concrete not in accounted and named.isdisjoint(list_parents(concrete)):
            lost.append(path)
    return lost


@pytest.mark.parametrize("kind", INVENTORY)
def test_every_key_of_what_rules_stand_on_is_read_or_named(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not find_lost_inventory_keys(kind, monkeypatch)


def test_a_key_of_a_sidecar_that_nothing_names_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(gaps._CHECKS, "Sidecar")
    lost = find_lost_inventory_keys("Sidecar", monkeypatch)
    assert {"spec.ingress", "spec.egress.captureMode"} <= set(lost)


@pytest.mark.parametrize(("group", "kind"), SPECS, ids=map("/".join, SPECS))
def test_every_key_is_read_or_refused_by_name(group: str, kind: str) -> None:
    paths = [path for case_group, name, path in CASES if (case_group, name) == (group, kind)]
    lost = [path for path in paths if not is_accounted_for(group, kind, path)]
    assert not lost


def test_a_key_that_a_reader_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from meshproof.rules.istio import actions

    monkeypatch.setattr(actions, "_read_retries", lambda limits: None)
    virtual_service = ("networking.istio.io", "VirtualService")
    assert not is_accounted_for(*virtual_service, "spec.http.retries.attempts")


def test_an_unsupported_key_that_is_no_longer_listed_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(SUPPORT, ("networking.istio.io", "VirtualService"))
    virtual_service = ("networking.istio.io", "VirtualService")
    assert not is_accounted_for(*virtual_service, "spec.http.retries.backoff")


#: (group, kind) -> the path of its matches.
MATCHES = {
    ("networking.istio.io", "VirtualService"): "spec.http.match",
    ("gateway.networking.k8s.io", "HTTPRoute"): "spec.rules.matches",
    ("gateway.networking.k8s.io", "GRPCRoute"): "spec.rules.matches",
    ("config.istio.io", "RouteRule"): "spec.match",
}
#: Keys of a match that are no conditions.
OPTIONS = {"ignoreUriCase", "name", "statPrefix"}


@pytest.mark.parametrize(("group", "name"), MATCHES, ids=map("/".join, MATCHES))
def test_lint_takes_no_match_for_one_of_every_request_because_of_a_key(
    group: str, name: str
) -> None:
    """Each key of a match is a condition for lint, or lint knows that it did not read it all."""
    kind = schema.load_kind(group, name)
    assert kind is not None
    spec_shape = kind.root.keys["spec"]
    path = MATCHES[group, name]
    match_shape = dict(list_paths(spec_shape, "spec"))[path].mapping_shape
    keys = set(match_shape.keys) - OPTIONS - {"path"}  # a path without a value is every path
    assert len(keys) >= 2
    for key in sorted(keys):
        content = json.loads(json.dumps(SPECS[group, name][0]))
        key_path = f"{path}.{key}"
        insert(content, key_path.split(".")[1:], match_shape.keys[key], spec_shape)
        head = {"apiVersion": kind.api_version, "kind": name, "metadata": {"name": "shop"}}
        documents = parse(json.dumps({**head, "spec": content}), "r.yaml")
        ((route,),) = (table.routes for table in read_route_tables(Project(documents)))
        assert not is_catch_all(route), key_path


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (kind, spec)
        for group, kind in MATCHES
        for spec in SPECS[group, kind][:1]
        if kind != "RouteRule"
    ],
    ids=[kind for _, kind in MATCHES if kind != "RouteRule"],
)
@pytest.mark.parametrize("match", [-1, "a", True, []], ids=repr)
def test_a_match_that_is_no_mapping_is_refused(kind: str, spec: dict[str, Any], match: Any) -> None:
    content = json.loads(json.dumps(spec))
    holder, key = ("http", "match") if kind == "VirtualService" else ("rules", "matches")
    content[holder][0][key] = [match]
    group = "networking.istio.io" if kind == "VirtualService" else "gateway.networking.k8s.io"
    head = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "shop"}}
    rules = reading.collect_rules(parse(json.dumps({**head, "spec": content}), "r.yaml"))
    place = f"spec.{holder}[0].{key}[0]: expected a mapping"
    assert place in " ".join(map(str, rules.problems))
