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
from meshproof.mesh.cluster.api.objects import RunObject, RunScope

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
class SandboxNames:
    """What stands for what: `namespaces` user's -> run's, `suffix` for hosts that are no service.

    `rewrite_host` and `rewrite_authority` are one way, `restore_authority` the other.
    """

    namespaces: Mapping[str, str]
    suffix: str

    @classmethod
    def for_namespaces(cls, place: RunScope, namespaces: Iterable[str]) -> SandboxNames:
        """Return the names for the namespaces of a user, in the order given."""
        run = place.namespace_for("default")
        moved = {
            name: f"{run}-rules-{number}-{name}"[:_LONGEST].rstrip("-")
            for number, name in enumerate(dict.fromkeys(namespaces), start=1)
        }
        return cls(moved, place.host)

    def rewrite_host(self, host: str) -> str:
        """Return the host that stands for one: short names stay, they are of one's namespace."""
        if "." not in host and host != "*":
            return host
        return self._exchange_namespace(host, self.namespaces) or f"{host}.{self.suffix}"

    def rewrite_authority(self, text: str) -> str:
        """Return what a request says in its Host header in place of `text`."""
        host, colon, port = text.partition(":")
        return f"{self.rewrite_host(host)}{colon}{port}"

    def restore_authority(self, text: str) -> str:
        """Return what the user calls an authority of the sandbox; any other as it is."""
        host, colon, port = text.partition(":")
        users = {ours: theirs for theirs, ours in self.namespaces.items()}
        found = self._exchange_namespace(host, users) or host.removesuffix(f".{self.suffix}")
        return f"{found}{colon}{port}"

    def _exchange_namespace(self, host: str, namespaces: Mapping[str, str]) -> str:
        """Return the name of a service with its namespace exchanged, nothing where it is none."""
        name, *rest = host.split(".")
        if not rest or rest[0] not in namespaces or rest[1:] not in _TAILS:
            return ""
        return ".".join([name, namespaces[rest[0]], *rest[1:]])


@dataclass(frozen=True)
class RuleRewriter:
    """How documents become objects of the sandbox.

    `export_to` are the namespaces that see what is not for a gateway, with `export_to_gateways` those that
    see the rest; `gateway_hosts` are the hosts of services that gateways send to.
    """

    names: SandboxNames
    labels: Mapping[str, str]
    export_to: Sequence[str]
    export_to_gateways: Sequence[str] = ()
    gateway_hosts: frozenset[str] = frozenset()

    def list_exports(self, gateways: bool) -> list[str]:
        """Return the namespaces that an object is exported to."""
        return list(
            dict.fromkeys([*self.export_to, *(self.export_to_gateways if gateways else ())])
        )

    def rewrite_virtual_service(self, document: Document) -> RunObject:
        """Return a VirtualService for the sandbox's hosts, gateways and destinations."""
        spec, namespace = dict(document.spec.plain()), document.namespace
        gateways = [
            self._rewrite_gateway_name(one, namespace) for one in spec.get("gateways") or ()
        ]
        if gateways:
            spec["gateways"] = gateways
        if "hosts" in spec:
            hosts = [self.names.rewrite_host(full_name(one, namespace)) for one in spec["hosts"]]
            spec["hosts"] = list(dict.fromkeys(hosts))
        spec["exportTo"] = self.list_exports(
            any(one != MESH for one in gateways) or "hosts" not in spec
        )
        spec["http"] = [self._rewrite_route(one, namespace) for one in spec.get("http") or ()]
        return self._make_object(document, spec)

    def rewrite_http_route(self, document: Document) -> RunObject:
        """Return an HTTPRoute for Services of the sandbox: what holds at gateways is left out.

        Names of its rules, too: istiod would call its routes by them alone, and nothing by it.
        """
        spec, namespace = document.spec.plain(), document.namespace
        parents = [one for one in spec["parentRefs"] if one.get("kind") == "Service"]
        spec = {
            "parentRefs": [self._rewrite_reference(one, namespace) for one in parents],
            "rules": [
                self._rewrite_rule({key: one[key] for key in one if key != "name"}, namespace)
                for one in spec.get("rules") or ()
            ],
        }
        return self._make_object(document, spec, document.api_version)

    def _rewrite_rule(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """Return a rule, or a backend of one, with the references below it moved."""
        moved = dict(given)
        if "backendRefs" in moved:
            moved["backendRefs"] = [
                self._rewrite_reference(self._rewrite_rule(one, namespace), namespace)
                for one in moved["backendRefs"]
            ]
        if "filters" in moved:
            moved["filters"] = [self._rewrite_filter(one, namespace) for one in moved["filters"]]
        return moved

    def _rewrite_filter(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        if "requestMirror" not in given:
            return dict(given)
        mirror = given["requestMirror"]
        copied = self._rewrite_reference(mirror["backendRef"], namespace)
        return {**given, "requestMirror": {**mirror, "backendRef": copied}}

    def _rewrite_reference(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        own = given.get("namespace") or namespace
        return {**given, "namespace": self.names.namespaces[own]}

    def rewrite_destination_rule(self, document: Document) -> RunObject:
        """Return the subsets of a DestinationRule, and nothing else of it."""
        spec = document.spec.plain()
        host = full_name(spec["host"], document.namespace)
        subsets = [
            {key: one[key] for key in _SUBSET if key in one} for one in spec.get("subsets") or ()
        ]
        return self._make_object(
            document,
            {
                "host": self.names.rewrite_host(host),
                "subsets": subsets,
                "exportTo": self.list_exports(host in self.gateway_hosts),
            },
        )

    def rewrite_gateway(
        self, document: Document, hosts: Iterable[str], selector: Mapping[str, str]
    ) -> RunObject:
        """Return a Gateway at port 80 of the proxies with the labels `selector`, for some hosts."""
        port = {"number": 80, "name": "http", "protocol": "HTTP"}
        served = list(dict.fromkeys(self.names.rewrite_host(one) for one in hosts))
        servers = [{"port": port, "hosts": served}]
        return self._make_object(document, {"selector": dict(selector), "servers": servers})

    def _make_object(
        self, document: Document, spec: dict[str, Any], api_version: str = _VERSION
    ) -> RunObject:
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
        return RunObject(body, document.at)

    def _rewrite_gateway_name(self, given: str, namespace: str) -> str:
        """Return the name of a Gateway in the sandbox."""
        if given == MESH:
            return given
        own, _, name = gateway_name(given, namespace).partition("/")
        return f"{self.names.namespaces[own]}/{name}"

    def _rewrite_route(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        route = dict(given)
        if "match" in route:
            route["match"] = [self._rewrite_match(one, namespace) for one in route["match"]]
        for key in ("route", "mirrors"):
            if key in route:
                route[key] = [
                    {**one, "destination": self._rewrite_destination(one["destination"], namespace)}
                    for one in route[key]
                ]
        if "mirror" in route:
            route["mirror"] = self._rewrite_destination(route["mirror"], namespace)
        if "delegate" in route:
            own = route["delegate"].get("namespace") or namespace
            route["delegate"] = {**route["delegate"], "namespace": self.names.namespaces[own]}
        return route

    def _rewrite_match(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        match = dict(given)
        if "gateways" in match:
            match["gateways"] = [
                self._rewrite_gateway_name(one, namespace) for one in match["gateways"]
            ]
        if exact := (match.get("authority") or {}).get("exact"):
            match["authority"] = {"exact": self.names.rewrite_authority(exact)}
        return match

    def _rewrite_destination(self, given: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        return {**given, "host": self.names.rewrite_host(full_name(given["host"], namespace))}
