"""Dead ends: destinations that cannot answer, as the files have the world.

A destination that does not exist, has no pods or lacks the port is answered by the proxy with an
error. No rule means that: it is a finding of each case whose requests go there. Nothing here is
shared with `mesh/`. Source: istiod, pilot/pkg/networking/core/route, GetDestinationCluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from meshproof.base.names import MESH
from meshproof.documents.manifest import At
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.sidecars import Sidecar
from meshproof.inventory.world import HostState, Presence
from meshproof.oracle import sidecars, subsets, upstream_tls
from meshproof.oracle.actions import Destination, to_destination
from meshproof.oracle.conditions import Call
from meshproof.rules.model import RuleSet, Target

if TYPE_CHECKING:
    from meshproof.oracle.case import Case, Plan


class DeadEndKind(Enum):
    """What a destination lacks."""

    SERVICE = "service"
    PODS = "pods"
    SUBSET = "subset"
    SUBSET_RULE = "DestinationRule"
    SUBSET_NAME = "name of a subset"
    PORT = "port"
    IMPORT = "import of a Sidecar"
    TLS = "TLS"


@dataclass(frozen=True)
class DeadEnd:
    """A destination that cannot answer: what it lacks, and which share of a case goes there.

    `share` (0..1) is that of the case's requests, with `is_mirror` that of their copies. `at` is
    where the rule names the destination. `state` is what is known of it. `port` is the one that it
    lacks, `ports` are those that it has; `is_called_port` if no rule names it. `subset_at` is
    where its subset is defined, `subset_names` are those that are. `caller` is the namespace whose
    proxies have no DestinationRule with the subset, or whose `sidecar` hides the destination.
    """

    kind: DeadEndKind
    destination: Destination
    share: float
    at: At
    state: HostState
    is_mirror: bool = False
    port: int = 0
    ports: tuple[int, ...] = ()
    is_called_port: bool = False
    subset_at: At | None = None
    subset_names: tuple[str, ...] = ()
    caller: str = ""
    sidecar: Sidecar | None = None


def mark_dead_ends(plan: Plan, known_hosts: KnownHosts, rules: RuleSet) -> Plan:
    """Return the plan with the dead ends of each case."""
    service_ports = known_hosts.service_ports
    cases = tuple(
        replace(
            case,
            dead_ends=tuple(
                _join_shares(_find_dead_ends(case, plan, known_hosts, rules, service_ports))
            ),
        )
        for case in plan.cases
    )
    return replace(plan, cases=cases)


def _join_shares(dead_ends: Iterable[DeadEnd]) -> list[DeadEnd]:
    """Return the dead ends with one for each thing that is lacking: several subsets lack a host."""
    joined: dict[tuple[object, ...], DeadEnd] = {}
    for dead_end in dead_ends:
        is_of_subset = dead_end.kind in (DeadEndKind.SUBSET, DeadEndKind.SUBSET_NAME)
        subset = dead_end.destination.labels if is_of_subset else ()
        host = dead_end.destination.host
        key = dead_end.kind, host, subset, dead_end.port, dead_end.is_mirror
        first = joined.get(key)
        share = min(1.0, dead_end.share + (first.share if first else 0.0))
        joined[key] = replace(first or dead_end, share=share)
    return list(joined.values())


def _find_dead_ends(
    case: Case,
    plan: Plan,
    known_hosts: KnownHosts,
    rules: RuleSet,
    service_ports: sidecars.ServicePorts,
) -> Iterator[DeadEnd]:
    """Yield the dead ends of a case: of its requests, then of their copies."""
    caller = subsets.find_caller_namespace(case.call)
    table = plan.coverage[case.table_index].table
    if sidecars.hides(rules, table, case.call, service_ports):
        yield _make_hidden(rules, case, Destination(case.call.host, (), ""), known_hosts)
        return
    for target, share, at, is_mirror in _iter_targets(case, plan, rules):
        dead_end = next(_check_target(target, case.call, share, at, known_hosts), None)
        is_service_absent = dead_end is not None and dead_end.kind is DeadEndKind.SERVICE
        if not is_service_absent and not subsets.sees_subset(rules, target, caller):
            dead_end = _make_without_subset(rules, target, share, at, known_hosts, caller)
        if dead_end is None and sidecars.lacks_target(rules, case.call, target):
            hidden = _make_hidden(rules, case, to_destination(target), known_hosts)
            dead_end = replace(hidden, share=share)
        if dead_end is not None:
            yield replace(dead_end, is_mirror=is_mirror)


def _make_without_subset(
    rules: RuleSet, target: Target, share: float, at: At, known_hosts: KnownHosts, caller: str
) -> DeadEnd:
    """Return the dead end of a target whose subset nothing defines, or none that callers see."""
    defined_at = subsets.find_definition(rules, target)
    return DeadEnd(
        DeadEndKind.SUBSET_RULE if defined_at is not None else DeadEndKind.SUBSET_NAME,
        to_destination(target),
        share,
        at,
        known_hosts.world.describe_host(target.host),
        subset_at=defined_at,
        subset_names=tuple(subsets.list_names(rules, target.host)),
        caller=caller,
    )


def _make_hidden(
    rules: RuleSet, case: Case, destination: Destination, known_hosts: KnownHosts
) -> DeadEnd:
    """Return the dead end of a case at a host that the Sidecar of its caller hides."""
    sidecar = sidecars.find_sidecar(rules, case.call)
    return DeadEnd(
        DeadEndKind.IMPORT,
        destination,
        1.0,
        sidecar.at if sidecar is not None else case.at,
        known_hosts.world.describe_host(destination.host),
        caller=case.call.namespace,
        sidecar=sidecar,
    )


def _iter_targets(
    case: Case, plan: Plan, rules: RuleSet
) -> Iterator[tuple[Target, float, At, bool]]:
    """Yield where requests of a case go: target, share (0..1), its place, and whether as a copy."""
    if case.route_index is None:
        for destination, share in case.shares:
            target = Target(destination.host, destination.labels, 100, case.call.port)
            yield target, share, case.table_at, False
        return
    route = subsets.resolve_route(
        rules,
        plan.coverage[case.table_index].table.routes[case.route_index],
        subsets.find_caller_namespace(case.call),
    )
    total = sum(target.weight for target in route.split)
    # Where a workload is told to fail, the answer has no shares, but it comes from there.
    is_told_to_fail = bool(case.answer.instruction_headers) and not case.shares
    forwarded_share = 1.0 if is_told_to_fail else sum(share for _, share in case.shares)
    for target in route.split if forwarded_share else ():
        if target.weight:
            yield target, forwarded_share * target.weight / total, target.at or route.at, False
    mirrored = {destination for destination, _ in case.answer.mirrors}
    for mirror in route.mirrors:
        if to_destination(mirror.target) in mirrored:
            yield mirror.target, mirror.percent / 100, mirror.target.at or route.at, True


def _check_target(
    target: Target, call: Call, share: float, at: At, known_hosts: KnownHosts
) -> Iterator[DeadEnd]:
    """Yield the dead end of a target, if it is one, for the callers of a call."""
    world, destination = known_hosts.world, to_destination(target)
    state = world.describe_host(target.host)
    if state.presence is Presence.ABSENT:
        yield DeadEnd(DeadEndKind.SERVICE, destination, share, at, state)
        return
    ports = _list_ports(target.host, known_hosts)
    port = target.port or _choose_port(ports, call)
    if upstream_tls.lacks_tls(known_hosts, target.host, port):
        yield DeadEnd(DeadEndKind.TLS, destination, share, at, state, port=port)
    elif ports and port not in ports:
        yield DeadEnd(
            DeadEndKind.PORT,
            destination,
            share,
            at,
            state,
            port=port,
            ports=ports,
            is_called_port=target.port is None,
        )
    elif state.is_dead:
        yield DeadEnd(DeadEndKind.PODS, destination, share, at, state)
    elif (subset_state := world.describe_subset(target.host, target.labels)).is_dead:
        subset_at = known_hosts.subset_places.get((target.host, target.labels))
        yield DeadEnd(DeadEndKind.SUBSET, destination, share, at, subset_state, subset_at=subset_at)


def _list_ports(host: str, known_hosts: KnownHosts) -> tuple[int, ...]:
    """Return the ports of a host's Service or ServiceEntry; none where neither is known."""
    if host in known_hosts.external_hosts:
        return known_hosts.ports.get(host, ())
    service = known_hosts.world.services.get(host)
    return tuple(port.number for port in service.ports) if service is not None else ()


def _choose_port(ports: tuple[int, ...], call: Call) -> int:
    """Return the port of a destination that names none.

    A gateway takes the Service's only port, a sidecar the one that was called.
    """
    return ports[0] if call.gateway != MESH and len(ports) == 1 else call.port
