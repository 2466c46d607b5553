"""What exists of each host, for whoever serves the rules: ports, selectors, workloads, subsets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from meshproof.base.names import Labels
from meshproof.documents.manifest import At
from meshproof.inventory.index import Inventory
from meshproof.inventory.tls import TlsSettings
from meshproof.inventory.world import Presence, World


@dataclass(frozen=True)
class KnownHosts:
    """What exists beside the rules, by full host.

    `ports` are the ports of every host that is defined, or that rules name with a port.
    `selectors` are the labels that Services select. `workloads` are the labels of the workloads
    behind each Service or ServiceEntry. `subsets` are the labels of all subsets of
    DestinationRules, `subset_places` where each is defined. `external_hosts` are the hosts of
    ServiceEntries outside the cluster. `world` says of any host whether it exists. `other_ports`
    are ports of Services and entries that are not HTTP: no HTTP route is served there. `tls_ports`
    are those ports of hosts outside at which TLS is spoken, `tls_settings` is what DestinationRules
    say of it.
    """

    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    selectors: dict[str, Labels] = field(default_factory=dict)
    workloads: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    subsets: dict[str, tuple[Labels, ...]] = field(default_factory=dict)
    external_hosts: tuple[str, ...] = ()
    world: World = field(default_factory=World)
    subset_places: dict[tuple[str, Labels], At] = field(default_factory=dict)
    other_ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tls_ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tls_settings: tuple[TlsSettings, ...] = ()

    @property
    def http_ports(self) -> dict[str, tuple[int, ...]]:
        """The ports of each host without those that are not HTTP."""
        return {
            host: tuple(port for port in ports if port not in self.other_ports.get(host, ()))
            for host, ports in self.ports.items()
        }

    @property
    def service_ports(self) -> dict[str, tuple[int, ...]]:
        """The HTTP ports of each host that may be a service: none is known not to exist."""
        absent = self.select_absent()
        return {host: ports for host, ports in self.http_ports.items() if host not in absent}

    def select_absent(self, named_hosts: Iterable[str] = ()) -> frozenset[str]:
        """Return the hosts that are known to be no services: of those with ports, and of others."""
        return frozenset(
            host
            for host in {*self.http_ports, *named_hosts}
            if self.world.describe_host(host).presence is Presence.ABSENT
        )

    def add_ports(self, named_ports: Iterable[tuple[str, int]]) -> KnownHosts:
        """Return the same with the ports (1 to 65535) that rules name of hosts without any here."""
        ports = dict(self.ports)
        for host, port in named_ports:
            if host not in self.ports:
                ports[host] = tuple(sorted({*ports.get(host, ()), port}))
        return replace(self, ports=ports)


def list_known_hosts(inventory: Inventory, world: World) -> KnownHosts:
    """Return what an inventory, and the world that it is of, know of each host.

    Raises BadRules with file and line for the first object that is wrong.
    """
    for problem in inventory.host_problems:
        raise problem
    services = inventory.services.values()
    ports = {
        service.host: tuple(sorted(port.number for port in service.ports)) for service in services
    }
    workloads = {service.host: world.describe_host(service.host).pods for service in services}
    other_ports = {
        service.host: tuple(
            port.number for port in service.ports if port.number not in service.http_ports
        )
        for service in services
    }
    tls_ports: dict[str, tuple[int, ...]] = {}
    for entry in inventory.service_entries:
        numbers = tuple(sorted(port.number for port in entry.ports))
        for host in entry.external_hosts:
            ports.setdefault(host, numbers)
            other_ports.setdefault(
                host, tuple(port for port in numbers if port not in entry.http_ports)
            )
            tls_ports.setdefault(host, entry.tls_ports)
            workloads.setdefault(host, entry.endpoint_labels)
    return KnownHosts(
        ports,
        {service.host: service.selector for service in services if service.selector},
        workloads,
        _list_subsets(inventory),
        tuple(
            dict.fromkeys(
                host for entry in inventory.service_entries for host in entry.external_hosts
            )
        ),
        world,
        {
            (rule.host, subset.labels): subset.at
            for rule in reversed(inventory.destination_rules)
            for subset in rule.subsets
        },
        other_ports,
        tls_ports,
        inventory.tls_settings,
    )


def _list_subsets(inventory: Inventory) -> dict[str, tuple[Labels, ...]]:
    """Return the labels of the subsets of DestinationRules, by full host."""
    subsets: dict[str, tuple[Labels, ...]] = {}
    for rule in inventory.destination_rules:
        labels = (subset.labels for subset in rule.subsets)
        subsets[rule.host] = (*subsets.get(rule.host, ()), *labels)
    return subsets
