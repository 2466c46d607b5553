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
    def for_namespaces(cls, scope: RunScope, namespaces: Iterable[str]) -> SandboxNames:
        """Return the names for the namespaces of a user, in the order given."""
        prefix = scope.namespace_for("default")
        renamed = {
            name: f"{prefix}-rules-{number}-{name}"[:_LONGEST].rstrip("-")
            for number, name in enumerate(dict.fromkeys(namespaces), start=1)
        }
        return cls(renamed, scope.host)

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
        user_namespaces = {
            sandbox_namespace: user_namespace
            for user_namespace, sandbox_namespace in self.namespaces.items()
        }
        user_host = self._exchange_namespace(host, user_namespaces) or host.removesuffix(
            f".{self.suffix}"
        )
        return f"{user_host}{colon}{port}"

    def _exchange_namespace(self, host: str, namespaces: Mapping[str, str]) -> str:
        """Return the name of a service with its namespace exchanged, nothing where it is none."""
        name, *domain = host.split(".")
        if not domain or domain[0] not in namespaces or domain[1:] not in _TAILS:
            return ""
        return ".".join([name, namespaces[domain[0]], *domain[1:]])


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
            self._rewrite_gateway_name(gateway, namespace) for gateway in spec.get("gateways") or ()
        ]
        if gateways:
            spec["gateways"] = gateways
        if "hosts" in spec:
            hosts = [self.names.rewrite_host(full_name(host, namespace)) for host in spec["hosts"]]
            spec["hosts"] = list(dict.fromkeys(hosts))
        spec["exportTo"] = self.list_exports(
            any(gateway != MESH for gateway in gateways) or "hosts" not in spec
        )
        spec["http"] = [self._rewrite_route(route, namespace) for route in spec.get("http") or ()]
        return self._make_object(document, spec)

    def rewrite_http_route(self, document: Document) -> RunObject:
        """Return an HTTPRoute for Services of the sandbox: what holds at gateways is left out.

        Names of its rules, too: istiod would call its routes by them alone, and nothing by it.
        """
        spec, namespace = document.spec.plain(), document.namespace
        parents = [parent for parent in spec["parentRefs"] if parent.get("kind") == "Service"]
        spec = {
            "parentRefs": [self._rewrite_reference(parent, namespace) for parent in parents],
            "rules": [
                self._rewrite_rule({key: rule[key] for key in rule if key != "name"}, namespace)
                for rule in spec.get("rules") or ()
            ],
        }
        return self._make_object(document, spec, document.api_version)

    def _rewrite_rule(self, rule: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """Return a rule, or a backend of one, with the references below it moved."""
        rewritten = dict(rule)
        if "backendRefs" in rewritten:
            rewritten["backendRefs"] = [
                self._rewrite_reference(self._rewrite_rule(backend, namespace), namespace)
                for backend in rewritten["backendRefs"]
            ]
        if "filters" in rewritten:
            rewritten["filters"] = [
                self._rewrite_filter(filter_spec, namespace) for filter_spec in rewritten["filters"]
            ]
        return rewritten

    def _rewrite_filter(self, filter_spec: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        if "requestMirror" not in filter_spec:
            return dict(filter_spec)
        mirror = filter_spec["requestMirror"]
        backend = self._rewrite_reference(mirror["backendRef"], namespace)
        return {**filter_spec, "requestMirror": {**mirror, "backendRef": backend}}

    def _rewrite_reference(self, reference: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        reference_namespace = reference.get("namespace") or namespace
        return {**reference, "namespace": self.names.namespaces[reference_namespace]}

    def rewrite_destination_rule(self, document: Document) -> RunObject:
        """Return the subsets of a DestinationRule, and nothing else of it."""
        spec = document.spec.plain()
        host = full_name(spec["host"], document.namespace)
        subsets = [
            {key: subset[key] for key in _SUBSET if key in subset}
            for subset in spec.get("subsets") or ()
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
        sandbox_hosts = list(dict.fromkeys(self.names.rewrite_host(host) for host in hosts))
        servers = [{"port": port, "hosts": sandbox_hosts}]
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

    def _rewrite_gateway_name(self, gateway: str, namespace: str) -> str:
        """Return the name of a Gateway in the sandbox."""
        if gateway == MESH:
            return gateway
        gateway_namespace, _, name = gateway_name(gateway, namespace).partition("/")
        return f"{self.names.namespaces[gateway_namespace]}/{name}"

    def _rewrite_route(self, route: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        rewritten = dict(route)
        if "match" in rewritten:
            rewritten["match"] = [
                self._rewrite_match(match, namespace) for match in rewritten["match"]
            ]
        for key in ("route", "mirrors"):
            if key in rewritten:
                rewritten[key] = [
                    {
                        **weighted,
                        "destination": self._rewrite_destination(
                            weighted["destination"], namespace
                        ),
                    }
                    for weighted in rewritten[key]
                ]
        if "mirror" in rewritten:
            rewritten["mirror"] = self._rewrite_destination(rewritten["mirror"], namespace)
        if "delegate" in rewritten:
            delegate_namespace = rewritten["delegate"].get("namespace") or namespace
            rewritten["delegate"] = {
                **rewritten["delegate"],
                "namespace": self.names.namespaces[delegate_namespace],
            }
        return rewritten

    def _rewrite_match(self, match: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        rewritten = dict(match)
        if "gateways" in rewritten:
            rewritten["gateways"] = [
                self._rewrite_gateway_name(gateway, namespace) for gateway in rewritten["gateways"]
            ]
        if exact := (rewritten.get("authority") or {}).get("exact"):
            rewritten["authority"] = {"exact": self.names.rewrite_authority(exact)}
        return rewritten

    def _rewrite_destination(
        self, destination: Mapping[str, Any], namespace: str
    ) -> dict[str, Any]:
        return {
            **destination,
            "host": self.names.rewrite_host(full_name(destination["host"], namespace)),
        }
