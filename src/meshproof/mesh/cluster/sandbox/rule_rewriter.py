"""Rewrites live rules for a sandbox: for namespaces and hosts of the run only.

A namespace becomes one of the run's, also in service names. Any other host gets the run's suffix,
so nobody else sends there. Conditions and weights stay unchanged.

Sources: Istio reference, VirtualService and DestinationRule (hosts, `exportTo`), Gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshproof.base.names import CLUSTER_DOMAIN, MESH, qualify_gateway, qualify_host
from meshproof.documents.manifest import Document
from meshproof.inventory.destination_rules import DestinationRule
from meshproof.mesh.cluster.api.objects import RunObject, RunScope

ROUTING = "networking.istio.io"
_VERSION = f"{ROUTING}/v1"
#: The longest name of a namespace in Kubernetes.
_LONGEST = 63
#: What may follow the namespace in the name of a service.
_TAILS: tuple[list[str], ...] = ([], ["svc"], CLUSTER_DOMAIN.split("."))


@dataclass(frozen=True)
class SandboxNames:
    """The sandbox's names: `namespaces` maps the user's to the run's, `suffix` is for other hosts.

    `rewrite_host` and `rewrite_authority` translate to the sandbox, `restore_authority` back.
    """

    namespaces: Mapping[str, str]
    suffix: str

    @classmethod
    def for_namespaces(cls, scope: RunScope, namespaces: Iterable[str]) -> SandboxNames:
        """Return the names for a user's namespaces, numbered in this order."""
        prefix = scope.namespace_for("default")
        renamed = {
            name: f"{prefix}-rules-{number}-{name}"[:_LONGEST].rstrip("-")
            for number, name in enumerate(dict.fromkeys(namespaces), start=1)
        }
        return cls(renamed, scope.host)

    def rewrite_host(self, host: str) -> str:
        """Return the sandbox's name of a host; a short name stays, its namespace changes."""
        if "." not in host and host != "*":
            return host
        return self._exchange_namespace(host, self.namespaces) or f"{host}.{self.suffix}"

    def rewrite_authority(self, text: str) -> str:
        """Return the Host header to send in place of `text`."""
        host, colon, port = text.partition(":")
        return f"{self.rewrite_host(host)}{colon}{port}"

    def restore_authority(self, text: str) -> str:
        """Return the user's name of an authority of the sandbox; any other unchanged."""
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
        """Return a service's name with another namespace; empty if the host is no such service."""
        name, *domain = host.split(".")
        if not domain or domain[0] not in namespaces or domain[1:] not in _TAILS:
            return ""
        return ".".join([name, namespaces[domain[0]], *domain[1:]])


@dataclass(frozen=True)
class RuleRewriter:
    """Turns documents into objects of the sandbox.

    Every object is exported to `export_to`, those for gateways also to `export_to_gateways`.
    `gateway_hosts` are the services that gateways send to.
    """

    names: SandboxNames
    labels: Mapping[str, str]
    export_to: Sequence[str]
    export_to_gateways: Sequence[str] = ()
    gateway_hosts: frozenset[str] = frozenset()

    def list_exports(self, gateways: bool) -> list[str]:
        """Return the namespaces to export an object to."""
        return list(
            dict.fromkeys([*self.export_to, *(self.export_to_gateways if gateways else ())])
        )

    def rewrite_virtual_service(self, document: Document) -> RunObject:
        """Return a VirtualService with the sandbox's hosts, gateways and destinations."""
        spec, namespace = dict(document.spec.to_python()), document.namespace
        gateways = [
            self._rewrite_gateway_name(gateway, namespace) for gateway in spec.get("gateways") or ()
        ]
        if gateways:
            spec["gateways"] = gateways
        if "hosts" in spec:
            hosts = [
                self.names.rewrite_host(qualify_host(host, namespace)) for host in spec["hosts"]
            ]
            spec["hosts"] = list(dict.fromkeys(hosts))
        spec["exportTo"] = self.list_exports(
            any(gateway != MESH for gateway in gateways) or "hosts" not in spec
        )
        spec["http"] = [self._rewrite_route(route, namespace) for route in spec.get("http") or ()]
        return self._make_object(document, spec)

    def rewrite_http_route(self, document: Document) -> RunObject:
        """Return an HTTPRoute for Services of the sandbox, without its parts for gateways.

        Rule names are dropped, too: istiod would name routes by them alone, without the run's name.
        """
        spec, namespace = document.spec.to_python(), document.namespace
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
        """Return a rule, or one of its backends, with rewritten references."""
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
        """Return a filter; a mirror's backend is rewritten."""
        if "requestMirror" not in filter_spec:
            return dict(filter_spec)
        mirror = filter_spec["requestMirror"]
        backend = self._rewrite_reference(mirror["backendRef"], namespace)
        return {**filter_spec, "requestMirror": {**mirror, "backendRef": backend}}

    def _rewrite_reference(self, reference: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """Return a reference with the sandbox's namespace."""
        reference_namespace = reference.get("namespace") or namespace
        return {**reference, "namespace": self.names.namespaces[reference_namespace]}

    def rewrite_destination_rule(self, rule: DestinationRule) -> RunObject:
        """Return a DestinationRule with nothing but its host and the labels of its subsets.

        The other keys of a subset are about load, failures and certificates, which a sandbox does
        not have.
        """
        subsets = [
            {"name": subset.name, **({"labels": dict(subset.labels)} if subset.labels else {})}
            for subset in rule.subsets
        ]
        return self._make_object(
            rule.document,
            {
                "host": self.names.rewrite_host(rule.host),
                "subsets": subsets,
                "exportTo": self.list_exports(rule.host in self.gateway_hosts),
            },
        )

    def rewrite_gateway(
        self, document: Document, hosts: Iterable[str], selector: Mapping[str, str]
    ) -> RunObject:
        """Return a Gateway for some hosts at port 80 of the proxies that `selector` selects."""
        port = {"number": 80, "name": "http", "protocol": "HTTP"}
        sandbox_hosts = list(dict.fromkeys(self.names.rewrite_host(host) for host in hosts))
        servers = [{"port": port, "hosts": sandbox_hosts}]
        return self._make_object(document, {"selector": dict(selector), "servers": servers})

    def _make_object(
        self, document: Document, spec: dict[str, Any], api_version: str = _VERSION
    ) -> RunObject:
        """Return the object to apply for a document."""
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
        """Return the name of a Gateway in the sandbox; `mesh` stays."""
        if gateway == MESH:
            return gateway
        gateway_namespace, _, name = qualify_gateway(gateway, namespace).partition("/")
        return f"{self.names.namespaces[gateway_namespace]}/{name}"

    def _rewrite_route(self, route: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """Return a route of a VirtualService with rewritten conditions and destinations."""
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
        """Return a match with rewritten gateways and authority."""
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
        """Return a destination with the sandbox's host."""
        return {
            **destination,
            "host": self.names.rewrite_host(qualify_host(destination["host"], namespace)),
        }
