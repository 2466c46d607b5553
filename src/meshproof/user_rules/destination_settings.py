"""What DestinationRules and Services say of a route's destinations, and what none compares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from meshproof.base.names import format_labels
from meshproof.documents.contents import name_object
from meshproof.documents.lookup import list_leaf_texts, read_text
from meshproof.documents.manifest import Document
from meshproof.inventory.destination_rules import KIND as DESTINATION_RULE
from meshproof.inventory.destination_rules import read_traffic_settings
from meshproof.inventory.services import Service, ServicePort
from meshproof.oracle import gaps, hosts
from meshproof.oracle.actions import to_destination
from meshproof.rules.model import Route, Target
from meshproof.user_rules.excluded import Excluded

#: The name of a setting begins with it where a side that does not say the port may call the same.
PORT_OF = "port of "


@dataclass(frozen=True)
class TrafficPolicies:
    """The traffic policies of some objects, by the destinations that they are for."""

    documents: Sequence[Document]

    def list_settings(self, route: Route) -> Iterator[tuple[str, str]]:
        """Yield the settings of the policies of each destination of a route, by name."""
        for target in route.split:
            if target.weight:
                for path, text in self._find_settings(target).items():
                    name = f"{path} of {to_destination(target)}"
                    yield name, f"{path} {text} for {to_destination(target)}"

    def _find_settings(self, target: Target) -> dict[str, str]:
        """Return the settings of a destination: a subset has its own in place of its rule's."""
        covering = [host for host in self._settings if hosts.covers(host, target.host)]
        if not covering:
            return {}
        nearest = max(covering, key=lambda host: ("*" not in host, len(host)))
        by_subset = self._settings[nearest]
        own = by_subset.get(target.subset_name, {}) if target.subset_name else {}
        replaced = {path.partition(".")[0] for path in own}
        general = by_subset.get("", {})
        kept = {key: text for key, text in general.items() if key.partition(".")[0] not in replaced}
        return {**kept, **own}

    @cached_property
    def _settings(self) -> dict[str, dict[str, dict[str, str]]]:
        """The settings by host and subset, "" for those of the whole rule."""
        return read_traffic_settings(
            document for document in self.documents if document.kind == DESTINATION_RULE
        )


def list_ports(route: Route) -> Iterator[tuple[str, str]]:
    """Yield the port at which each destination of a route is called, where the route names it."""
    for target in route.split:
        if target.weight and target.port:
            destination = to_destination(target)
            yield f"{PORT_OF}{destination}", f"{destination} port {target.port}"


def list_services(route: Route, services: Mapping[str, Service]) -> Iterator[tuple[str, str]]:
    """Yield what the Service of each destination of a route says: its pods, and how to call them.

    Of its ports those count that the route calls.
    """
    for target in route.split:
        service = services.get(target.host)
        if target.weight and service is not None:
            destination = to_destination(target)
            ports = [port for port in service.ports if target.port in (None, port.number)]
            text = ", ".join(
                (_describe_pods(service), *(_describe_port(service, port) for port in ports))
            )
            yield f"Service of {destination}", f"Service {destination.owner}: {text}"


def list_ports_of(service: Service, number: int) -> list[str]:
    """Return the ports of a Service that have a number, in words."""
    return [_describe_port(service, port) for port in service.ports if port.number == number]


def _describe_pods(service: Service) -> str:
    """Return in words which pods a Service stands for."""
    if service.type == "ExternalName":  # for any other type the API server ignores the name
        external = read_text(service.document.spec.mapping().get("externalName"))
        return f"ExternalName {external}".strip()
    return f"pods {format_labels(service.selector) or 'of no label'}"


def _describe_port(service: Service, port: ServicePort) -> str:
    """Return in words what istiod makes of a port, and where it leads."""
    protocol = service.find_protocol(port.number)
    kind = "HTTP" if port.number in service.http_ports else protocol or port.transport
    kind = protocol if protocol in ("http2", "grpc", "grpc-web") else kind
    return f"port {port.number} ({kind}) to {port.target}"


def list_unknown_ports(route: Route, shared_hosts: Collection[str]) -> Iterator[str]:
    """Yield in words the ports of destinations whose Service is not known on both sides.

    Nothing then says whether a route without a port calls another one.
    """
    for target in route.split:
        if target.weight and target.port and target.host not in shared_hosts:
            yield f"port {target.port} of {to_destination(target)}: its Service is not known"


def list_left_out(
    documents: Iterable[Document], with_policies: bool
) -> Iterator[tuple[str, Excluded]]:
    """Yield what no request shows and no setting holds: what it is, and the part of an object.

    The traffic policies of DestinationRules are settings, unless `with_policies`.
    """
    for document in documents:
        if document.kind == DESTINATION_RULE and not with_policies:
            continue
        texts = dict(list_leaf_texts(document.root))
        for unproven in gaps.find_unproven_fields([document]):
            values = [text for path, text in texts.items() if _is_below(path, unproven.path)]
            value = f"{unproven.path} {', '.join(values)}".strip()
            what = f"{name_object(document)} {value}"
            path = unproven.path
            yield what, Excluded.of_document(document, unproven.reason, unproven.at, path=path)


def _is_below(path: str, parent: str) -> bool:
    return path == parent or path.startswith((f"{parent}.", f"{parent}["))
