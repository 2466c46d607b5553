"""Draws routes of Gateway API: for the one Gateway of the world, and for Services in the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tests.differential.drawing import Drawer
from tests.differential.world import ENTRY, SERVICES, Service

Spec = dict[str, Any]

GROUP = "gateway.networking.k8s.io"
_PATHS = ("/", "/a", "/a/b", "/old", "/re")
_HOSTNAMES = ("shop.example", "*.example", "web.example", "a.shop.example")
_WEIGHTS: tuple[tuple[int | None, ...], ...] = (
    *((None,), (None,), (None,), (1,), (0,)),
    *((1, 1), (2, 8), (0, 3), (1, 1, 2), (None, 3), (0, 0)),
)
_METHODS = ("GET", "POST", "OPTIONS")
#: What a GRPCRoute asks for: they are paths that the requests of a set have.
_GRPC_METHODS: tuple[Spec, ...] = (
    *({"service": "a", "method": "b"}, {"service": "a"}, {"method": "b"}),
    {"type": "RegularExpression", "service": "a|re", "method": "[a-z]+"},
)


def make_route(kind: str, namespace: str, name: str, spec: Spec) -> Spec:
    """Return an object of Gateway API."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "spec": spec}


def make_entry() -> Spec:
    """Return the one Gateway: it is the same in all sets, and has a proxy of its own."""
    namespace, _, name = ENTRY.partition("/")
    everybody = {"namespaces": {"from": "All"}}
    listeners = [
        {"name": "plain", "port": 80, "protocol": "HTTP", "allowedRoutes": everybody},
        {
            "name": "named",
            "port": 8080,
            "protocol": "HTTP",
            "hostname": "*.example",
            "allowedRoutes": everybody,
        },
    ]
    spec = {"gatewayClassName": "istio", "listeners": listeners}
    return make_route("Gateway", namespace, name, spec)


def make_routes(drawer: Drawer, names: Iterable[str], free: Sequence[Service]) -> list[Spec]:
    """Return some routes, with the Gateway if one is for it. Of `free` services no rule is."""
    routes = [_make_route(drawer, name, free) for name in names]
    parents = (parent for body in routes for parent in body["spec"]["parentRefs"])
    is_entry_named = any(parent["kind"] == "Gateway" for parent in parents)
    return [*([make_entry()] if is_entry_named else []), *routes]


def _make_route(drawer: Drawer, name: str, free: Sequence[Service]) -> Spec:
    """Return an HTTPRoute for a Service or at the Gateway."""
    if free and drawer.chance(50):
        service = drawer.pick(list(free))
        # A GRPCRoute and an HTTPRoute for one host are an error: each service has its kind.
        kind = "GRPCRoute" if service.name == "news" else "HTTPRoute"
        parent = {"group": "", "kind": "Service", "name": service.name}
        spec: Spec = {"parentRefs": [parent]}
        namespace = service.namespace
        is_mesh = True
    else:
        kind, is_mesh = "HTTPRoute", False
        namespace = drawer.pick(("shop", "web", "default"))
        entry_namespace, _, entry = ENTRY.partition("/")
        parent = {"group": GROUP, "kind": "Gateway", "name": entry, "namespace": entry_namespace}
        if drawer.chance(30):
            parent["sectionName"] = drawer.pick(("plain", "named"))
        spec = {"parentRefs": [parent]}
        if drawer.chance(70):
            spec["hostnames"] = drawer.several(_HOSTNAMES, 1, 2)
    builder = _RuleBuilder(drawer, namespace, is_mesh, kind == "GRPCRoute")
    spec["rules"] = [builder.make_rule() for _ in range(drawer.pick((1, 1, 2, 3)))]
    return make_route(kind, namespace, name, spec)


class _RuleBuilder:
    """Builds the rules of a route."""

    def __init__(self, drawer: Drawer, namespace: str, is_mesh: bool, is_grpc: bool) -> None:
        self._drawer = drawer
        self._namespace = namespace
        self._is_mesh = is_mesh
        self._is_grpc = is_grpc

    def make_rule(self) -> Spec:
        """Return a rule: matches, filters, and where it leads."""
        drawer = self._drawer
        rule: Spec = {}
        if drawer.chance(80):
            make_match = self._make_grpc_match if self._is_grpc else self._make_match
            rule["matches"] = [make_match() for _ in range(drawer.pick((1, 1, 2)))]
        filters = self._make_header_filters()
        if not self._is_grpc and drawer.chance(15):
            filters.append(self._make_redirect())
        else:
            rule["backendRefs"] = [self._make_backend(weight) for weight in drawer.pick(_WEIGHTS)]
            filters += self._make_forwarding_filters()
            if not self._is_grpc:
                rule |= self._make_limits()
        if "ReplacePrefixMatch" in repr(filters):
            for match in rule.setdefault("matches", [{}]):
                match["path"] = {"type": "PathPrefix", "value": drawer.pick(_PATHS[1:])}
        return rule | ({"filters": filters} if filters else {})

    def _make_match(self) -> Spec:
        drawer = self._drawer
        match: Spec = {}
        if drawer.chance(75):
            kind = drawer.pick(("Exact", "PathPrefix", "PathPrefix", "RegularExpression"))
            regexes = ("/re/[0-9]+", "/a/.*", "/(a|old)")
            value = drawer.pick(regexes if kind == "RegularExpression" else _PATHS)
            match["path"] = {"type": kind, "value": value}
        if drawer.chance(25):
            match["method"] = drawer.pick(_METHODS)
        if drawer.chance(30):
            match["headers"] = [self._make_header_match()]
        if drawer.chance(15):
            entry = drawer.pick(({"value": "1"}, {"type": "RegularExpression", "value": "[0-9]+"}))
            match["queryParams"] = [{"name": "v", **entry}]
        return match

    def _make_grpc_match(self) -> Spec:
        drawer = self._drawer
        match: Spec = {}
        if drawer.chance(75):
            match["method"] = drawer.pick(_GRPC_METHODS)
        if drawer.chance(30) or not match:
            match["headers"] = [self._make_header_match()]
        return match

    def _make_header_match(self) -> Spec:
        drawer = self._drawer
        value = drawer.pick(({"value": "ann"}, {"type": "RegularExpression", "value": "[a-z]+"}))
        return {"name": drawer.pick(("x-user", "x-beta")), **value}

    def _make_backend(self, weight: int | None) -> Spec:
        drawer = self._drawer
        services = [
            service for service in SERVICES if self._is_mesh or service.namespace == self._namespace
        ]
        service = drawer.pick(services)
        backend: Spec = {"name": service.name, "port": drawer.pick(service.ports)}
        if service.namespace != self._namespace:
            backend["namespace"] = service.namespace
        if weight is not None:
            backend["weight"] = weight
        return backend

    def _make_header_filters(self) -> list[Spec]:
        drawer = self._drawer
        filters: list[Spec] = []
        for kind, key, names, percent in (
            ("RequestHeaderModifier", "requestHeaderModifier", ("x-a", "x-b", "x-user"), 25),
            ("ResponseHeaderModifier", "responseHeaderModifier", ("x-c", "x-d"), 25),
        ):
            if drawer.chance(percent):
                filters.append({"type": kind, key: self._make_header_changes(names)})
        return filters

    def _make_header_changes(self, names: tuple[str, ...]) -> Spec:
        drawer = self._drawer
        free_names = drawer.several(names, 1, len(names))
        changes: Spec = {}
        if drawer.chance(50):
            changes["set"] = [{"name": free_names.pop(), "value": drawer.pick(("1", "two"))}]
        if free_names and drawer.chance(40):
            changes["add"] = [{"name": free_names.pop(), "value": "3"}]
        if free_names and (drawer.chance(30) or not changes):
            changes["remove"] = [free_names.pop()]
        return changes

    def _make_forwarding_filters(self) -> list[Spec]:
        drawer = self._drawer
        filters: list[Spec] = []
        if not self._is_grpc and drawer.chance(20):
            rewrite: Spec = {}
            if drawer.chance(70):
                rewrite["path"] = self._make_path_change()
            if drawer.chance(40) or not rewrite:
                rewrite["hostname"] = drawer.pick(("inside.test", "cart"))
            filters.append({"type": "URLRewrite", "urlRewrite": rewrite})
        if drawer.chance(15):
            mirror: Spec = {"backendRef": self._make_backend(None)}
            if drawer.chance(40):
                mirror["percent"] = drawer.pick((0, 50, 100))
            elif drawer.chance(40):
                mirror["fraction"] = {"numerator": 1, "denominator": 2}
            filters.append({"type": "RequestMirror", "requestMirror": mirror})
        return filters

    def _make_path_change(self) -> Spec:
        drawer = self._drawer
        if drawer.chance(50):
            return {"type": "ReplaceFullPath", "replaceFullPath": drawer.pick(("/new", "/"))}
        value = drawer.pick(("/new", "/new/", "/"))
        return {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}

    def _make_redirect(self) -> Spec:
        drawer = self._drawer
        redirect: Spec = {}
        if drawer.chance(50):
            redirect["path"] = self._make_path_change()
        if drawer.chance(50) or not redirect:
            redirect["hostname"] = "other.test"
        if drawer.chance(30):
            redirect["scheme"] = drawer.pick(("http", "https"))
        if drawer.chance(25):
            redirect["port"] = drawer.pick((80, 443, 8443))
        if drawer.chance(30):
            redirect["statusCode"] = drawer.pick((301, 302))
        return {"type": "RequestRedirect", "requestRedirect": redirect}

    def _make_limits(self) -> Spec:
        drawer = self._drawer
        limits: Spec = {}
        if drawer.chance(15):
            limits["timeouts"] = {"request": drawer.pick(("2s", "5s"))}
        if drawer.chance(12):
            limits["retry"] = {"attempts": drawer.pick((1, 2)), "codes": [503]}
        return limits
