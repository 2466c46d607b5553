"""Live rules -> the same rules in a sandbox: in namespaces of the run, for hosts of the run alone.

A namespace becomes one of the run's, in the names of services, too; any other host gets a suffix
that is the run's own: nobody else sends there. What a rule says of requests and of shares stays.
Sources: Istio reference, VirtualService and DestinationRule (hosts, `exportTo`), Gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshproof.base.names import CLUSTER_DOMAIN, MESH, full_name, gateway_name
from meshproof.documents.manifest import Document
from meshproof.mesh.cluster.api.objects import Place, Placed

ROUTING = "networking.istio.io"
_VERSION = f"{ROUTING}/v1"
#: Kubernetes takes no longer name of a namespace.
_LONGEST = 63
#: What follows the namespace in each name of a service.
_TAILS: tuple[list[str], ...] = ([], ["svc"], CLUSTER_DOMAIN.split("."))
#: The keys of a DestinationRule that a request can prove: what else it says stands for load,
#: failures and certificates that are not here.
_SUBSET = ("name", "labels")


@dataclass(frozen=True)
class Names:
    """What stands for what: `namespaces` user's -> run's, `suffix` for hosts that are no service.

    `host` and `authority` are one way, `back` is the other.
    """

    namespaces: Mapping[str, str]
    suffix: str

    @classmethod
    def of(cls, place: Place, namespaces: Iterable[str]) -> Names:
        """Return the names for the namespaces of a user, in the order given."""
        run = place.namespace("default")
        moved = {
            name: f"{run}-rules-{number}-{name}"[:_LONGEST].rstrip("-")
            for number, name in enumerate(dict.fromkeys(namespaces), start=1)
        }
        return cls(moved, place.host)

    def host(self, host: str) -> str:
        """Return the host that stands for one: short names stay, they are of one's namespace."""
        if "." not in host and host != "*":
            return host
        return self._service(host, self.namespaces) or f"{host}.{self.suffix}"

    def authority(self, text: str) -> str:
        """Return what a request says in its Host header in place of `text`."""
        host, colon, port = text.partition(":")
        return f"{self.host(host)}{colon}{port}"

    def back(self, text: str) -> str:
        """Return what the user calls an authority of the sandbox; any other as it is."""
        host, colon, port = text.partition(":")
        users = {ours: theirs for theirs, ours in self.namespaces.items()}
        found = self._service(host, users) or host.removesuffix(f".{self.suffix}")
        return f"{found}{colon}{port}"

    def _service(self, host: str, namespaces: Mapping[str, str]) -> str:
        """Return the name of a service with its namespace exchanged, nothing where it is none."""
        name, *rest = host.split(".")
        if not rest or rest[0] not in namespaces or rest[1:] not in _TAILS:
            return ""
        return ".".join([name, namespaces[rest[0]], *rest[1:]])


@dataclass(frozen=True)
class Rewriting:
    """How documents become objects of the sandbox.

    `exported` are the namespaces that see what is not for a gateway, with `to_gateways` those that
    see the rest; `for_gateways` are the hosts of services that gateways send to.
    """

    names: Names
    labels: Mapping[str, str]
    exported: Sequence[str]
    to_gateways: Sequence[str] = ()
    for_gateways: frozenset[str] = frozenset()

    def exports(self, gateways: bool) -> list[str]:
        """Return the namespaces that an object is exported to."""
        return list(dict.fromkeys([*self.exported, *(self.to_gateways if gateways else ())]))

    def virtual_service(self, document: Document) -> Placed:
        """Return a VirtualService for the sandbox's hosts, gateways and destinations."""
        spec, namespace = dict(document.spec.plain()), document.namespace
        gateways = [self._gateway(one, namespace) for one in spec.get("gateways") or ()]
        if gateways:
            spec["gateways"] = gateways
        if "hosts" in spec:
            hosts = [self.names.host(full_name(one, namespace)) for one in spec["hosts"]]
            spec["hosts"] = list(dict.fromkeys(hosts))
        spec["exportTo"] = self.exports(any(one != MESH for one in gateways) or "hosts" not in spec)
        spec["http"] = [self._route(one, namespace) for one in spec.get("http") or ()]
        return self._placed(document, spec)

    def http_route(self, document: Document) -> Placed:
        """Return an HTTPRoute for Services of the sandbox: what holds at gateways is left out.

        Names of its rules, too: istiod would call its routes by them alone, and nothing by it.
        """
        spec, namespace = document.spec.plain(), document.namespace
        parents = [one for one in spec["parentRefs"] if one.get("kind") == "Service"]
        spec = {
            "parentRefs": [self._reference(one, namespace) for one in parents],
            "rules": [
                self._rule({key: one[key] for key in one if key != "name"}, namespace)
                for one in spec.get("rules") or ()
            ],
        }
        return self._placed(document, spec, document.api_version)

    def _rule(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """Return a rule, or a backend of one, with the references below it moved."""
        moved = dict(given)
        if "backendRefs" in moved:
            moved["backendRefs"] = [
                self._reference(self._rule(one, namespace), namespace)
                for one in moved["backendRefs"]
            ]
        if "filters" in moved:
            moved["filters"] = [self._filter(one, namespace) for one in moved["filters"]]
        return moved

    def _filter(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        if "requestMirror" not in given:
            return dict(given)
        mirror = given["requestMirror"]
        copied = self._reference(mirror["backendRef"], namespace)
        return {**given, "requestMirror": {**mirror, "backendRef": copied}}

    def _reference(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        own = given.get("namespace") or namespace
        return {**given, "namespace": self.names.namespaces[own]}

    def destination_rule(self, document: Document) -> Placed:
        """Return the subsets of a DestinationRule, and nothing else of it."""
        spec = document.spec.plain()
        host = full_name(spec["host"], document.namespace)
        subsets = [
            {key: one[key] for key in _SUBSET if key in one} for one in spec.get("subsets") or ()
        ]
        return self._placed(
            document,
            {
                "host": self.names.host(host),
                "subsets": subsets,
                "exportTo": self.exports(host in self.for_gateways),
            },
        )

    def gateway(
        self, document: Document, hosts: Iterable[str], selector: Mapping[str, str]
    ) -> Placed:
        """Return a Gateway at port 80 of the proxies with the labels `selector`, for some hosts."""
        port = {"number": 80, "name": "http", "protocol": "HTTP"}
        served = list(dict.fromkeys(self.names.host(one) for one in hosts))
        servers = [{"port": port, "hosts": served}]
        return self._placed(document, {"selector": dict(selector), "servers": servers})

    def _placed(
        self, document: Document, spec: dict[str, Any], api_version: str = _VERSION
    ) -> Placed:
        body = {
            "apiVersion": api_version,
            "kind": document.kind,
            "metadata": {
                "name": document.name,
                "namespace": self.names.namespaces[document.namespace],
                "labels": dict(self.labels),
            },
            "spec": spec,
        }
        return Placed(body, document.at)

    def _gateway(self, given: str, namespace: str) -> str:
        """Return the name of a Gateway in the sandbox."""
        if given == MESH:
            return given
        own, _, name = gateway_name(given, namespace).partition("/")
        return f"{self.names.namespaces[own]}/{name}"

    def _route(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        route = dict(given)
        if "match" in route:
            route["match"] = [self._match(one, namespace) for one in route["match"]]
        for key in ("route", "mirrors"):
            if key in route:
                route[key] = [
                    {**one, "destination": self._destination(one["destination"], namespace)}
                    for one in route[key]
                ]
        if "mirror" in route:
            route["mirror"] = self._destination(route["mirror"], namespace)
        if "delegate" in route:
            own = route["delegate"].get("namespace") or namespace
            route["delegate"] = {**route["delegate"], "namespace": self.names.namespaces[own]}
        return route

    def _match(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        match = dict(given)
        if "gateways" in match:
            match["gateways"] = [self._gateway(one, namespace) for one in match["gateways"]]
        if exact := (match.get("authority") or {}).get("exact"):
            match["authority"] = {"exact": self.names.authority(exact)}
        return match

    def _destination(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        return {**given, "host": self.names.host(full_name(given["host"], namespace))}
