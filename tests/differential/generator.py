"""Makes valid small sets of rules, and requests around the edges of their matches.

Matches and requests draw from the same few values, so that most requests meet or just miss one.
Sets are drawn independently: Hypothesis makes most of them from earlier ones, and then 200 sets
lack what one in ten should have. `reducing` makes smaller what shows a difference.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from meshproof.base.names import MESH, ROOT_NAMESPACE, is_host_within, qualify_host
from meshproof.oracle.actions import FAILURE_HEADER, RESPONSE_HEADER_PREFIX
from meshproof.oracle.conditions import TlsCall
from meshproof.oracle.derive import Call
from meshproof.rules.model import INGRESS, Proxy
from tests.differential.drawing import Drawer
from tests.differential.gateway_routes import make_routes
from tests.differential.world import (
    ANSWERED_HEADERS,
    CALLERS,
    ENTRY_PROXY,
    OUTSIDE,
    SERVICES,
    Service,
)

Spec = dict[str, Any]

_PATHS = (
    *("/", "/a", "/a/", "/ab", "/a/b", "/a/b/c", "/A", "/old", "/old/", "/old/x", "/oldx"),
    *("/re/12", "/re/x", "/re/12/y", "//a", "/a//b", "/a%2Fb", "/q?v=1", "/a?v=12", "/a?w=1&v=1"),
)
_EXACT_PATHS = ("/", "/a", "/a/", "/a/b", "/old", "/re/12", "/A")
_PREFIXES = ("/", "/a", "/a/", "/old", "/old/", "/re/", "")
_REGEXES = ("/re/[0-9]+", "/a/.*", "/(a|old)", ".*", "/re/.*")
_USERS = ("ann", "anna", "Bob", "")
_HEADERS = ("x-user", "x-beta")
_METHODS = ("GET", "POST", "PUT", "OPTIONS", "HEAD")
_NAMESPACES = ("shop", "web", "default")
_GATEWAY_HOSTS = ("shop.example", "*.example", "*", "web.example", "a.shop.example")
#: Hosts of one VirtualService: none of a group covers another one.
_HOST_GROUPS = (
    *(["shop.example"], ["*.example"], ["*"], ["web.example"], ["a.shop.example"]),
    *(["shop.example", "web.example"], ["a.shop.example", "shop.example"]),
)
_AUTHORITIES = ("shop.example", "web.example", "a.shop.example", "other.test", "SHOP.example")
_GATEWAY_PORTS = (80, 8080)
_TLS_PORT = 443
_TLS_MODES = ("SIMPLE", "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
#: Weights of the destinations of a route, None for one without.
_WEIGHTS: tuple[tuple[int | None, ...], ...] = (
    *((None,), (None,), (None,), (None,), (100,), (0,), (1,)),
    *((50, 50), (20, 80), (0, 100), (1, 1, 2), (100, None), (150, 50), (90, 10)),
)
#: Kinds and parts of them that no set has yet, each with its reason.
KINDS_LEFT_OUT = {
    "Ingress": "istiod of the comparison has no ingress class",
    "calls from behind a Sidecar that shows no service of their port": (
        "istiod has no listener there; meshproof serves a rule by its name "
        "(seed 2026120312, set 174)"
    ),
    "names of no service below a wildcard": (
        "istiod serves them by the rule of the wildcard, the local mesh knows no such host"
    ),
    "ServiceEntry beside a Sidecar": (
        "a Sidecar imports by the namespace of an entry; meshproof takes a host outside for one of "
        "every namespace (seed 5, set 27)"
    ),
}
#: What a Sidecar imports.
_IMPORTS = (
    *("./*", "*/*", "shop/*", "web/*", "default/*", "istio-system/*", "~/*"),
    *("shop/cart.shop.svc.cluster.local", "*/news.web.svc.cluster.local", "*/*.svc.cluster.local"),
    "./reviews.default.svc.cluster.local",
)
_ORIGINS = ("http://a.example", "http://b.example", "http://a.example.org")


@dataclass(frozen=True)
class GeneratedSet:
    """Objects of Istio, and requests to them."""

    objects: tuple[Spec, ...]
    calls: tuple[Call, ...]


def generate_set(source: random.Random) -> GeneratedSet:
    """Return a set of rules and the requests to ask."""
    drawer = Drawer(source)
    builder = _SetBuilder(drawer)
    objects = builder.build()
    count = drawer.pick((12, 16))
    calls = [_make_call(drawer, builder.entrances, builder.services) for _ in range(count)]
    return GeneratedSet(tuple(objects), tuple(dict.fromkeys(calls)))


def make_object(
    kind: str, namespace: str, name: str, spec: Spec, group: str = "networking.istio.io"
) -> Spec:
    """Return an object of one of Istio's groups."""
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


class _SetBuilder:
    """Builds the objects of one set."""

    def __init__(self, drawer: Drawer) -> None:
        self._drawer = drawer
        self._gateways: list[str] = []
        #: The proxies and ports at which requests come in from outside.
        self.entrances: set[tuple[Proxy, int]] = set()
        self._names = iter(f"{letter}-rule" for letter in "abcdefghijklmnopqrstuvwxyz")
        self._has_all_subsets = drawer.chance(70)
        self._with_subsets: set[Service] = set()
        self._gateway_places: list[Spec] = []
        #: The hosts of servers where TLS ends: that two have one is refused.
        self._tls_hosts: set[str] = set()
        #: What rules may name: the services of the world, and one outside if the set knows it.
        self.services: tuple[Service, ...] = SERVICES

    def build(self) -> list[Spec]:
        """Return all objects, in the order of their names."""
        drawer = self._drawer
        objects: list[Spec] = []
        if drawer.chance(25):
            objects += self._make_service_entry()
        objects += self._make_destination_rules()
        for _ in range(drawer.pick((0, 0, 1, 1, 1, 2))):
            objects.append(self._make_gateway())
        for _ in range(drawer.pick((1, 1, 2, 2, 3))):
            objects += self._make_virtual_services()
        if self.services == SERVICES and drawer.chance(25):
            count = drawer.pick((1, 1, 2))
            for namespace in drawer.several((*_NAMESPACES, ROOT_NAMESPACE), count, count):
                objects.append(self._make_sidecar(namespace))
        if drawer.chance(8):
            objects.append(self._make_peer_authentication())
        if drawer.chance(30):
            objects += self._make_gateway_api(objects)
        return objects

    def _make_service_entry(self) -> list[Spec]:
        """Return the ServiceEntry of the host outside, and mostly a DestinationRule with it.

        The DestinationRule is in the namespace of the entry: of a host outside meshproof takes all
        rules for those of its namespace.
        """
        drawer = self._drawer
        namespace = drawer.pick(_NAMESPACES)
        ports = drawer.several(OUTSIDE.ports, 1, 2)
        outside = replace(OUTSIDE, ports=tuple(ports))
        self.services = (*SERVICES, outside)
        spec: Spec = {
            "hosts": [outside.host],
            "location": drawer.pick(("MESH_EXTERNAL", "MESH_INTERNAL")),
            "resolution": "STATIC",
            "ports": [
                {"number": port, "name": f"http-{port}", "protocol": "HTTP"} for port in ports
            ],
            "endpoints": [
                {"address": f"192.0.2.{number}", "labels": {"version": version}}
                for number, version in enumerate(outside.versions, start=1)
            ],
        }
        objects = [make_object("ServiceEntry", namespace, next(self._names), spec)]
        if drawer.chance(70):
            self._with_subsets.add(outside)
            subsets = [
                {"name": version, "labels": {"version": version}} for version in outside.versions
            ]
            rule = {"host": outside.host, "subsets": subsets}
            objects.append(make_object("DestinationRule", namespace, next(self._names), rule))
        return objects

    def _make_sidecar(self, namespace: str) -> Spec:
        """Return what callers of a namespace import."""
        drawer = self._drawer
        egress: list[Spec] = []
        if drawer.chance(30):
            port = {"number": 8080, "protocol": "HTTP", "name": "http"}
            egress.append({"port": port, "hosts": drawer.several(_IMPORTS, 1, 3)})
        if not egress or drawer.chance(80):
            egress.append({"hosts": drawer.several(_IMPORTS, 1, 3)})
        spec: Spec = {"egress": egress}
        if namespace != ROOT_NAMESPACE and drawer.chance(30):
            spec["workloadSelector"] = {"labels": {"app": "front"}}
        if drawer.chance(30):
            spec["outboundTrafficPolicy"] = {"mode": "REGISTRY_ONLY"}
        return make_object("Sidecar", namespace, next(self._names), spec)

    def _make_peer_authentication(self) -> Spec:
        """Return a policy, which is nothing to requests: the workloads' own proxies hold it."""
        drawer = self._drawer
        namespace = drawer.pick((*_NAMESPACES, ROOT_NAMESPACE))
        spec: Spec = {"mtls": {"mode": drawer.pick(("STRICT", "PERMISSIVE", "DISABLE"))}}
        if namespace != ROOT_NAMESPACE and drawer.chance(40):
            spec["selector"] = {"matchLabels": {"app": drawer.pick(("cart", "news", "reviews"))}}
        group = "security.istio.io"
        return make_object("PeerAuthentication", namespace, next(self._names), spec, group)

    def _make_gateway_api(self, objects: list[Spec]) -> list[Spec]:
        """Return routes of Gateway API, of services that no VirtualService is for."""
        drawer = self._drawer
        taken = [
            qualify_host(host, body["metadata"]["namespace"])
            for body in objects
            if body["kind"] == "VirtualService" and MESH in body["spec"].get("gateways", [MESH])
            for host in body["spec"].get("hosts", ())
        ]
        free = [
            service
            for service in SERVICES
            if not any(is_host_within(service.host, host) for host in taken)
        ]
        names = [next(self._names) for _ in range(drawer.pick((1, 2)))]
        made = make_routes(drawer, names, free)
        if any(body["kind"] == "Gateway" for body in made):
            self.entrances |= {(ENTRY_PROXY, 80), (ENTRY_PROXY, 8080)}
        return made

    def _make_destination_rules(self) -> list[Spec]:
        drawer = self._drawer
        if self._has_all_subsets:
            return [self._make_destination_rule(service, service.namespace) for service in SERVICES]
        return [
            self._make_destination_rule(service, drawer.pick((*_NAMESPACES, "istio-system")))
            for service in drawer.several(SERVICES, 2, 4)
        ]

    def _make_destination_rule(self, service: Service, namespace: str) -> Spec:
        drawer = self._drawer
        self._with_subsets.add(service)
        host = service.host
        if namespace == service.namespace and drawer.chance(30):
            host = service.name
        elif drawer.chance(10):
            host = f"*.{service.host.partition('.')[2]}"
        subsets = [{"name": name, "labels": {"version": name}} for name in service.versions]
        spec: Spec = {"host": host, "subsets": subsets}
        if not self._has_all_subsets and drawer.chance(30):
            spec["exportTo"] = drawer.pick((["."], ["*"], ["web"], ["default", "shop"]))
        return make_object("DestinationRule", namespace, next(self._names), spec)

    def _make_gateway(self) -> Spec:
        drawer = self._drawer
        namespace, name = drawer.pick(_NAMESPACES), next(self._names)
        self._gateways.append(f"{namespace}/{name}")
        servers = []
        for port in drawer.several(_GATEWAY_PORTS, 1, 2):
            hosts = drawer.several(_GATEWAY_HOSTS, 1, 2)
            self.entrances.add((INGRESS, port))
            number = {"number": port, "name": f"http-{port}", "protocol": "HTTP"}
            server: Spec = {"port": number, "hosts": hosts}
            if drawer.chance(10):
                server["tls"] = {"httpsRedirect": drawer.chance(80)}
            servers.append(server)
        if drawer.chance(25):
            servers += self._make_tls_servers()
        spec = {"selector": {"istio": "ingressgateway"}, "servers": servers}
        return make_object("Gateway", namespace, name, spec)

    def _make_tls_servers(self) -> list[Spec]:
        """Return servers where TLS ends, at one port; no host is that of two of them."""
        drawer = self._drawer
        self.entrances.add((INGRESS, _TLS_PORT))
        servers: list[Spec] = []
        free_hosts = drawer.several(
            tuple(host for host in _GATEWAY_HOSTS if host not in self._tls_hosts), 1, 3
        )
        self._tls_hosts |= set(free_hosts)
        while free_hosts:
            hosts = [free_hosts.pop() for _ in range(min(len(free_hosts), drawer.pick((1, 2))))]
            number = len(servers)
            port = {"number": _TLS_PORT, "name": f"https-{number}", "protocol": "HTTPS"}
            tls = {"mode": drawer.pick(_TLS_MODES), "credentialName": "certificate"}
            servers.append({"port": port, "hosts": hosts, "tls": tls})
        return servers

    def _make_virtual_services(self) -> list[Spec]:
        """Return a VirtualService, with the delegates that it has."""
        drawer = self._drawer
        namespace, name = drawer.pick(_NAMESPACES), next(self._names)
        routes = _RouteBuilder(drawer, namespace, self._gateways, self._with_subsets, self.services)
        spec = self._choose_place(namespace)
        delegates: list[Spec] = []
        spec["http"] = [routes.make_route() for _ in range(drawer.pick((1, 2, 2, 3, 4)))]
        if drawer.chance(15):
            name_of_delegate, its_namespace = next(self._names), drawer.pick(_NAMESPACES)
            delegation = routes.make_delegation(name_of_delegate, its_namespace)
            http = [routes.make_delegate_route(delegation) for _ in range(drawer.pick((1, 2)))]
            delegates.append(
                make_object("VirtualService", its_namespace, name_of_delegate, {"http": http})
            )
            spec["http"].insert(0, delegation)
        if drawer.chance(20):
            spec["exportTo"] = drawer.pick((["."], ["*"], ["web"], ["istio-system", "shop"]))
        return [make_object("VirtualService", namespace, name, spec), *delegates]

    def _choose_place(self, namespace: str) -> Spec:
        """Return the hosts of a VirtualService and where it applies, at times those of another."""
        drawer = self._drawer
        if self._gateway_places and drawer.chance(40):
            earlier: Spec = drawer.pick(self._gateway_places)
            return dict(earlier)
        place = self._choose_hosts(namespace)
        if "gateways" in place:
            self._gateway_places.append(place)
        return dict(place)

    def _choose_hosts(self, namespace: str) -> Spec:
        """Return the hosts of a VirtualService, and where it applies."""
        drawer = self._drawer
        if self._gateways and drawer.chance(50):
            gateways = drawer.several(tuple(self._gateways), 1, 2)
            hosts = drawer.pick(_HOST_GROUPS)
            if drawer.chance(20):
                service = drawer.pick(self.services)
                return {"hosts": [service.host], "gateways": [*gateways, MESH]}
            return {"hosts": hosts, "gateways": gateways}
        hosts = [
            _name_host(drawer, service, namespace)
            for service in drawer.several(self.services, 1, 2)
        ]
        if drawer.chance(7):
            hosts = [f"*.{drawer.pick(_NAMESPACES)}.svc.cluster.local"]
        return {"hosts": hosts, **({"gateways": [MESH]} if drawer.chance(15) else {})}


def _name_host(drawer: Drawer, service: Service, namespace: str) -> str:
    """Return a name of a service that a rule of a namespace may use."""
    if namespace == service.namespace and drawer.chance(50):
        return service.name
    return service.host


class _RouteBuilder:
    """Builds the http routes of one VirtualService."""

    def __init__(
        self,
        drawer: Drawer,
        namespace: str,
        gateways: list[str],
        with_subsets: set[Service],
        services: tuple[Service, ...],
    ) -> None:
        self._drawer = drawer
        self._namespace = namespace
        self._gateways = gateways
        self._with_subsets = with_subsets
        self._services = services

    def make_route(self, forwards: bool = False) -> Spec:
        """Return one http route, of any kind if it is not to forward."""
        drawer = self._drawer
        route: Spec = {}
        if drawer.chance(80):
            route["match"] = [self._make_match() for _ in range(drawer.pick((1, 1, 1, 2, 3)))]
        kinds = ("route",) * 7
        kind = drawer.pick(kinds if forwards else (*kinds, "redirect", "directResponse"))
        if kind == "redirect":
            route["redirect"] = self._make_redirect()
        elif kind == "directResponse":
            route["directResponse"] = self._make_direct_response()
        else:
            route |= self._make_forwarding()
        if drawer.chance(25):
            route["headers"] = self._make_headers()
        if drawer.chance(10):
            route["corsPolicy"] = self._make_cors()
        if drawer.chance(12):
            route["fault"] = self._make_fault()
        if drawer.chance(15):
            route["name"] = drawer.pick(("first", "second"))
        return route

    def make_delegation(self, name: str, namespace: str) -> Spec:
        """Return the route that hands over to a delegate."""
        drawer = self._drawer
        delegation: Spec = {"delegate": {"name": name, "namespace": namespace}}
        if drawer.chance(70):
            delegation["match"] = [{"uri": {"prefix": drawer.pick(("/a", "/", "/old"))}}]
        if drawer.chance(30):
            delegation["headers"] = self._make_headers()
        if drawer.chance(20):
            delegation["timeout"] = "7s"
        return delegation | (self._make_mirror() if drawer.chance(50) else {})

    def make_delegate_route(self, delegation: Spec) -> Spec:
        """Return a route of a delegate, mostly within the match of its root.

        Its mirror may have no percentage where the root has one.
        """
        drawer = self._drawer
        has_mirror = any(key.startswith("mirror") for key in delegation)
        route = self.make_route(forwards=has_mirror)
        if "mirrorPercentage" in delegation and drawer.chance(60):
            route = {key: value for key, value in route.items() if not key.startswith("mirror")}
            route["mirror"] = self._make_destination()
        prefix = delegation["match"][0]["uri"]["prefix"] if "match" in delegation else ""
        uris = [
            *({"exact": path} for path in _EXACT_PATHS if path.startswith(prefix)),
            *({"prefix": path} for path in _PREFIXES if path.startswith(prefix)),
        ]
        for match in route.get("match", ()):
            if prefix and "uri" in match and drawer.chance(90):
                match["uri"] = drawer.pick(uris)
        return route

    def _make_match(self) -> Spec:
        drawer = self._drawer
        match: Spec = {}
        if drawer.chance(65):
            match["uri"] = self._make_uri()
            if drawer.chance(20):
                match["ignoreUriCase"] = True
        if drawer.chance(25):
            match["headers"] = {drawer.pick(_HEADERS): self._make_user_match()}
        if drawer.chance(10):
            match["withoutHeaders"] = {drawer.pick(_HEADERS): self._make_user_match()}
        if drawer.chance(12):
            value = drawer.pick(({"exact": "1"}, {"prefix": "1"}, {"regex": "[0-9]+"}))
            match["queryParams"] = {"v": value}
        if drawer.chance(12):
            match["method"] = drawer.pick(
                ({"exact": "GET"}, {"regex": "GET|POST"}, {"prefix": "P"}, {"exact": "OPTIONS"})
            )
        match |= self._make_rare_match()
        if drawer.chance(12):
            gateways = drawer.pick(([MESH], [MESH], [*self._gateways, MESH], self._gateways))
            match |= {"gateways": gateways} if gateways else {}
        return match

    def _make_rare_match(self) -> Spec:
        drawer = self._drawer
        match: Spec = {}
        if drawer.chance(8):
            match["authority"] = drawer.pick(
                (
                    *({"exact": "shop.example"}, {"prefix": "cart"}, {"regex": ".*example.*"}),
                    *({"exact": "cart.shop.svc.cluster.local"}, {"prefix": "news.web"}),
                )
            )
        if drawer.chance(5):
            match["scheme"] = drawer.pick(
                ({"exact": "http"}, {"exact": "https"}, {"prefix": "https"}, {"regex": "h.*s"})
            )
        if drawer.chance(8):
            match["port"] = drawer.pick((80, 8080))
        if drawer.chance(8):
            match["sourceLabels"] = {"app": drawer.pick(("front", "front", "other"))}
        if drawer.chance(8):
            match["sourceNamespace"] = drawer.pick((*_NAMESPACES, "istio-system"))
        return match

    def _make_uri(self) -> Spec:
        drawer = self._drawer
        kind = drawer.pick(("exact", "prefix", "prefix", "regex"))
        values = {"exact": _EXACT_PATHS, "prefix": _PREFIXES, "regex": _REGEXES}[kind]
        return {kind: drawer.pick(values)}

    def _make_user_match(self) -> Spec:
        return self._drawer.pick(
            ({"exact": "ann"}, {"prefix": "an"}, {"regex": "[a-z]*"}, {"regex": "B.b"}, {})
        )

    def _make_destination(self) -> Spec:
        drawer = self._drawer
        service = drawer.pick(self._services)
        destination: Spec = {"host": _name_host(drawer, service, self._namespace)}
        if service in self._with_subsets and drawer.chance(60):
            destination["subset"] = drawer.pick(service.versions)
        if drawer.chance(15 if service.ports == (80,) else 35):
            destination["port"] = {"number": drawer.pick(service.ports)}
        return destination

    def _make_forwarding(self) -> Spec:
        drawer = self._drawer
        route: Spec = {"route": []}
        for weight in drawer.pick(_WEIGHTS):
            destination: Spec = {"destination": self._make_destination()}
            if weight is not None:
                destination["weight"] = weight
            if drawer.chance(12):
                destination["headers"] = self._make_headers()
            route["route"].append(destination)
        if drawer.chance(20):
            route["rewrite"] = self._make_rewrite()
        if drawer.chance(15):
            route["timeout"] = drawer.pick(("2s", "5s", "1500ms", "30s"))
        if drawer.chance(15):
            route["retries"] = self._make_retries()
        return route | (self._make_mirror() if drawer.chance(15) else {})

    def _make_mirror(self) -> Spec:
        drawer = self._drawer
        percentage = drawer.pick((None, 100, 50, 0))
        if drawer.chance(40):
            mirrors = []
            for _ in range(drawer.pick((1, 2))):
                mirror: Spec = {"destination": self._make_destination()}
                mirrors.append(mirror | _make_percentage("percentage", percentage))
            return {"mirrors": mirrors}
        mirror = {"mirror": self._make_destination()}
        return mirror | _make_percentage("mirrorPercentage", percentage)

    def _make_redirect(self) -> Spec:
        drawer = self._drawer
        redirect: Spec = {}
        if drawer.chance(60):
            field = drawer.pick(("uri", "uri", "prefixRewrite"))
            redirect[field] = drawer.pick(("/new", "/new/", "/", "new"))
        if drawer.chance(50) or not redirect:
            redirect["authority"] = drawer.pick(("other.test", "other.test:81"))
        if drawer.chance(20):
            redirect["port"] = drawer.pick((80, 443, 8443))
        elif drawer.chance(20):
            redirect["derivePort"] = drawer.pick(
                ("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT", "FROM_REQUEST_PORT")
            )
        if drawer.chance(25):
            redirect["scheme"] = drawer.pick(("http", "https"))
        if drawer.chance(30):
            redirect["redirectCode"] = drawer.pick((301, 302, 303, 307, 308))
        return redirect

    def _make_direct_response(self) -> Spec:
        drawer = self._drawer
        response: Spec = {"status": drawer.pick((200, 204, 404, 503, 418))}
        if response["status"] != 204 and drawer.chance(60):
            response["body"] = drawer.pick(({"string": "hello"}, {"bytes": "aGVsbG8="}))
        return response

    def _make_rewrite(self) -> Spec:
        drawer = self._drawer
        if drawer.chance(25):
            pattern = {
                "match": drawer.pick(("/re/(.*)", "^/a", "/([a-z]+)/(.*)")),
                "rewrite": drawer.pick(("/new", "/x/\\1")),
            }
            return {"uriRegexRewrite": pattern}
        rewrite: Spec = {}
        if drawer.chance(80):
            rewrite["uri"] = drawer.pick(("/", "/new", "/new/", "/n?w"))
        if drawer.chance(30) or not rewrite:
            rewrite["authority"] = drawer.pick(("inside.test", "cart"))
        return rewrite

    def _make_headers(self) -> Spec:
        drawer = self._drawer
        headers: Spec = {}
        if drawer.chance(70):
            headers["request"] = self._make_header_changes(("x-a", "x-b", "x-user"))
            if drawer.chance(7):
                headers["request"].setdefault("set", {})["Host"] = "set.test"
        if drawer.chance(50) or not headers:
            headers["response"] = self._make_header_changes(("x-c", "x-d"))
        return headers

    def _make_header_changes(self, names: tuple[str, ...]) -> Spec:
        drawer = self._drawer
        changes: Spec = {}
        free_names = drawer.several(names, 1, len(names))
        if drawer.chance(50):
            value = drawer.pick(("1", "two", "two", "%PROTOCOL%"))
            changes["set"] = {free_names.pop(): value}
        if free_names and drawer.chance(40):
            changes["add"] = {free_names.pop(): drawer.pick(("3", "four"))}
        if free_names and (drawer.chance(30) or not changes):
            changes["remove"] = [free_names.pop()]
        return changes

    def _make_fault(self) -> Spec:
        drawer = self._drawer
        fault: Spec = {}
        if drawer.chance(85):
            percentage = drawer.pick((100, 100, 0, 50, None))
            abort: Spec = {"httpStatus": drawer.pick((503, 418, 200))}
            fault["abort"] = abort | _make_percentage("percentage", percentage)
        if not fault or drawer.chance(10):
            percentage = drawer.pick((100, 0, None))
            delay = {"fixedDelay": "0.3s"} | _make_percentage("percentage", percentage)
            fault["delay"] = delay
        return fault

    def _make_retries(self) -> Spec:
        drawer = self._drawer
        retries: Spec = {"attempts": drawer.pick((0, 1, 2, 3))}
        if retries["attempts"] and drawer.chance(70):
            retries["retryOn"] = drawer.pick(
                (
                    *("5xx", "gateway-error", "503", "409", "connect-failure,503"),
                    *("retriable-status-codes,503", "retriable-4xx", "gateway-error,500", "reset"),
                )
            )
        if retries["attempts"] and drawer.chance(20):
            retries["perTryTimeout"] = drawer.pick(("1s", "3s"))
        return retries

    def _make_cors(self) -> Spec:
        drawer = self._drawer
        cors: Spec = {}
        if drawer.chance(85):
            cors["allowOrigins"] = drawer.pick(
                (
                    *([{"exact": "http://a.example"}], [{"prefix": "http://a"}]),
                    *([{"regex": "http://[ab].example"}], [{"exact": "*"}]),
                )
            )
        if drawer.chance(60):
            cors["allowMethods"] = drawer.pick((["GET"], ["GET", "PUT"]))
        if drawer.chance(40):
            cors["allowHeaders"] = drawer.pick((["x-a"], ["x-a", "x-b"]))
        if drawer.chance(40):
            cors["exposeHeaders"] = drawer.pick((["x-c"], ["x-c", "x-d"]))
        if drawer.chance(40):
            cors["maxAge"] = drawer.pick(("24h", "1s"))
        if drawer.chance(30):
            cors["allowCredentials"] = drawer.chance(70)
        if drawer.chance(30):
            cors["unmatchedPreflights"] = drawer.pick(("FORWARD", "IGNORE"))
        return cors


def _make_percentage(field: str, percentage: int | None) -> Spec:
    """Return a field with a percentage, or nothing for None."""
    return {} if percentage is None else {field: {"value": percentage}}


def _make_call(
    drawer: Drawer, entrances: set[tuple[Proxy, int]], services: tuple[Service, ...]
) -> Call:
    """Return a request around the edges of the matches."""
    if entrances and drawer.chance(50):
        proxy, port = drawer.pick(sorted(entrances, key=lambda entry: (entry[0].name, entry[1])))
        name = drawer.pick(_AUTHORITIES)
        suffix = drawer.pick(("", "", f":{port}"))
        authority = f"{name}{suffix}"
        call = Call(name, authority=authority, gateway="gateway", port=port, proxy=proxy)
        if port == _TLS_PORT:
            asked = name if drawer.chance(85) else drawer.pick(_AUTHORITIES)
            tls = TlsCall("", "SIMPLE", asked.lower(), shows_certificate=drawer.chance(50))
            call = replace(call, tls=tls)
    else:
        service = drawer.pick(services)
        port = drawer.pick(service.ports)
        namespace, labels = drawer.pick(CALLERS)
        qualified = f"{service.name}.{service.namespace}"
        names = [service.host, service.host, qualified, ""]
        names += drawer.pick(([], [], [], list(_AUTHORITIES[:1] + _AUTHORITIES[3:4])))
        if service.namespace == namespace:
            names.append(service.name)
        name = drawer.pick(names)
        suffix = "" if port == 80 else f":{port}"
        authority = f"{name}{suffix}" if name else ""
        call = Call(
            service.host, authority=authority, source=labels, port=port, namespace=namespace
        )
    return _add_edges(drawer, call)


def _add_edges(drawer: Drawer, call: Call) -> Call:
    """Return a request with path, method and headers of the edges."""
    call = replace(call, path=drawer.pick(_PATHS))
    if drawer.chance(30):
        call = replace(call, method=drawer.pick(_METHODS))
    if drawer.chance(40):
        call = call.with_header(drawer.pick(_HEADERS), drawer.pick(_USERS))
    if drawer.chance(20):
        call = call.with_header("origin", drawer.pick(_ORIGINS))
        if drawer.chance(50):
            method = drawer.pick(("GET", "PUT"))
            call = replace(call, method="OPTIONS")
            call = call.with_header("access-control-request-method", method)
    if drawer.chance(20):
        failure = drawer.pick(("503 x1", "503 x2", "503 x4", "500 x1", "409 x1", "504 x2"))
        call = call.with_header(FAILURE_HEADER, failure)
    if drawer.chance(20):
        header = f"{RESPONSE_HEADER_PREFIX}{drawer.pick(ANSWERED_HEADERS)}"
        call = call.with_header(header, "own")
    if drawer.chance(20):
        call = call.with_header(drawer.pick(("x-a", "x-b")), "own")
    return call
