"""The echo workloads that stand for the rules' services, and what their responses can prove."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meshproof.base.names import Labels, is_host_within, is_service
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.world import Presence
from meshproof.oracle.actions import Arrival, Shares
from meshproof.oracle.derive import Case, Destination, Plan
from meshproof.rules.model import RouteTable, RuleSet, Target

#: Labels of the workload that no subset selects: it gets only requests to the whole service.
OTHER_LABELS: Labels = (("version", "other"),)
#: Fewest requests for a case with one destination.
MIN_VISITS = 3
#: The default chance that another route's responses pass for those of the case.
DEFAULT_BETA = 1e-3
#: The largest part of another route's requests, to the case's workloads, that is told apart.
MAX_OVERLAP = 0.9
#: The chance that workloads do not answer although the route sends to them.
FALSE_ALARM = 1e-9


@dataclass(frozen=True)
class EchoWorkload:
    """An echo workload: the pods of its labels; its responses carry `name`.

    `hosts` are those of all Services that select it, `host` is the one that it was made for.
    """

    name: str
    host: str
    labels: Labels
    hosts: tuple[str, ...] = ()

    def stands_for(self, host: str) -> bool:
        """Say whether requests to a host may be answered by it."""
        return host == self.host or host in self.hosts


#: Why a mesh cannot show which pod of several a key picks.
ONE_POD = "every workload of this mesh is one pod, so that no request shows on which one it stays"
#: The ports of a service with unknown ports.
DEFAULT_PORTS = (80,)
#: The namespace of hosts that are no services of the cluster.
EXTERNAL_NAMESPACE = "outside"


def split_host(host: str) -> tuple[str, str]:
    """Return name and namespace of a host; an external host is in EXTERNAL_NAMESPACE."""
    if not is_service(host):
        return host, EXTERNAL_NAMESPACE
    name, namespace = host.split(".")[:2]
    return name, namespace


def check_hosts(rules: RuleSet, known_hosts: KnownHosts) -> None:
    """Raise BadRules for a destination that is no service of the cluster, nor of a ServiceEntry."""
    targets = (
        target for table in rules.tables for route in table.routes for target in route.targets
    )
    for target in targets:
        host = target.host
        if not is_service(host) and host not in known_hosts.external_hosts:
            raise (target.at or rules.tables[0].at).unsupported(
                f"{host}: only services of the cluster get an echo workload yet, and hosts of "
                "a ServiceEntry"
            )


def list_hosts(rules: RuleSet, known_hosts: KnownHosts) -> list[str]:
    """Return every host that the rules apply to or send to, in order.

    In place of a wildcard the known services below it, if there are any.
    """
    hosts = list(dict.fromkeys(host for table in rules.tables for host in _iter_hosts(table)))
    services = [host for host in (*hosts, *known_hosts.ports) if "*" not in host]
    return list(
        dict.fromkeys(
            name
            for host in hosts
            for name in (
                [service for service in services if is_host_within(service, host)] or [host]
            )
        )
    )


def _iter_hosts(table: RouteTable) -> Iterator[str]:
    """Yield the hosts of a table and of its targets."""
    if table.applies_to_mesh:
        yield from table.hosts
    for target in (target for route in table.routes for target in route.targets):
        yield target.host


def list_targets(rules: RuleSet) -> list[Target]:
    """Return every destination of the rules that gets requests or copies, in order."""
    routes = [route for table in rules.tables for route in table.routes]
    return [target for route in routes for target in route.targets if target.weight]


def find_selector(known_hosts: KnownHosts, host: str) -> Labels:
    """Return the selector of a host's Service, else the label app with the host's name."""
    return known_hosts.selectors.get(host) or (("app", split_host(host)[0]),)


def plan_echo_workloads(rules: RuleSet, known_hosts: KnownHosts) -> list[EchoWorkload]:
    """Return the echo workloads of all hosts: one for each kind of pods that are known.

    Where pods are not known, they are stood in for: one for each subset, and one that is in no
    subset. A host that does not exist, or that no pod answers for, has none.
    """
    hosts = list_hosts(rules, known_hosts)
    workloads: dict[str, EchoWorkload] = {}
    labels_by_namespace: dict[tuple[str, Labels], str] = {}
    for host in hosts:
        name, namespace = split_host(host)
        selector = find_selector(known_hosts, host)
        for labels in _list_pods(rules, known_hosts, host):
            pod_labels = tuple(sorted({*selector, *labels}))
            if (namespace, pod_labels) in labels_by_namespace:
                continue  # pods of another Service's, too
            base_name = workload_name = f"{name}.{namespace}.{_join_label_values(labels, selector)}"
            numbers = itertools.count(2)
            while workload_name in workloads:
                workload_name = f"{base_name}-{next(numbers)}"
            workloads[workload_name] = EchoWorkload(workload_name, host, pod_labels)
            labels_by_namespace[namespace, pod_labels] = workload_name
    return [
        replace(workload, hosts=tuple(_list_selecting(hosts, known_hosts, workload)))
        for workload in workloads.values()
    ]


def _list_pods(rules: RuleSet, known_hosts: KnownHosts, host: str) -> list[Labels]:
    """Return the labels of each kind of pods that a host has, or that stand in for them."""
    state = known_hosts.world.describe_host(host)
    if state.is_dead:
        return []
    pods = list(known_hosts.workloads.get(host, ()))
    describe_subset = known_hosts.world.describe_subset
    subsets = [
        labels
        for labels in _collect_subsets(rules, known_hosts, host)
        if not describe_subset(host, labels).is_dead
    ]
    if not pods:
        return [OTHER_LABELS, *subsets]
    stood_in = (
        labels for labels in subsets if describe_subset(host, labels).presence is Presence.STOOD_IN
    )
    return list(dict.fromkeys([*pods, *stood_in]))


def _list_selecting(
    hosts: Iterable[str], known_hosts: KnownHosts, workload: EchoWorkload
) -> Iterator[str]:
    """Yield the hosts whose Services select a workload."""
    namespace = split_host(workload.host)[1]
    for host in hosts:
        selector = find_selector(known_hosts, host)
        is_dead = known_hosts.world.describe_host(host).is_dead
        if split_host(host)[1] == namespace and not is_dead and set(selector) <= {*workload.labels}:
            yield host


def collect_ports(rules: RuleSet, known_hosts: KnownHosts) -> dict[str, tuple[int, ...]]:
    """Return the ports of each host that the rules name: those of its Service.

    For a host without a Service: the ports that rules name, else the default one. In addition every
    port of which a rule sends there without a port of its own: a sidecar forwards to the called
    port.
    """
    host_ports = {
        host: set(known_hosts.ports.get(host) or DEFAULT_PORTS)
        for host in list_hosts(rules, known_hosts)
    }
    gateway_ports = {
        gateway.name: [server.port for server in gateway.servers] for gateway in rules.gateways
    }
    forwards = [
        (table, target.host)
        for table in rules.tables
        for route in table.routes
        for target in route.targets
        if target.port is None and target.host not in known_hosts.workloads
    ]
    has_grown = True
    while has_grown:
        has_grown = False
        for table, host in forwards:
            called_ports = {
                port for name in table.gateways or () for port in gateway_ports.get(name, ())
            }
            if table.applies_to_mesh:
                called_ports |= {
                    port
                    for called_host, ports in host_ports.items()
                    if any(is_host_within(called_host, table_host) for table_host in table.hosts)
                    for port in ports - set(known_hosts.other_ports.get(called_host, ()))
                }
            has_grown = has_grown or not called_ports <= host_ports[host]
            host_ports[host] |= called_ports
    return {host: tuple(sorted(ports)) for host, ports in host_ports.items()}


def _collect_subsets(rules: RuleSet, known_hosts: KnownHosts, host: str) -> list[Labels]:
    """Return the label sets of a host's subsets."""
    routes = [route for table in rules.tables for route in table.routes]
    target_labels = [
        target.labels
        for route in routes
        for target in route.targets
        if target.host == host and not target.is_undefined
    ]
    subsets = [labels for labels in (*target_labels, *known_hosts.subsets.get(host, ())) if labels]
    return list(dict.fromkeys(subsets))


def _join_label_values(labels: Labels, selector: Labels) -> str:
    """Return the values of labels that are not in the selector, as a part of a name."""
    return "-".join(value for key, value in labels if (key, value) not in selector) or "plain"


@dataclass(frozen=True)
class Ambiguity:
    """Another route whose responses would look like those of the case.

    Some workloads of the case could answer in the same way under that route. Only responses of
    `deciding_workloads` rule it out. `description` says what would answer under that route. After
    `max_requests` responses without any of them, chance is ruled out.
    """

    deciding_workloads: frozenset[str]
    description: str
    max_requests: int


class OverlappingShares(Exception):
    """A split between destinations that overlap, such as a service and one of its subsets."""


class Workloads:
    """The echo workloads that may answer a case, and the requests needed to prove that."""

    def __init__(self, echoes: Sequence[EchoWorkload], missed: float = DEFAULT_BETA) -> None:
        self.echoes = tuple(echoes)
        self._beta = missed
        self._workload_names: dict[Destination, frozenset[str]] = {}
        self._visits: dict[tuple[int, Destination], int] = {}

    def find_workloads(self, destination: Destination) -> frozenset[str]:
        """Return the names of the workloads of a destination."""
        if destination not in self._workload_names:
            self._workload_names[destination] = frozenset(
                echo.name
                for echo in self.echoes
                if echo.stands_for(destination.host) and set(destination.labels) <= set(echo.labels)
            )
        return self._workload_names[destination]

    def map_destinations(self, case: Case) -> dict[str, str]:
        """Return the name of each echo workload of a case -> the destination it belongs to.

        Raises OverlappingShares for a workload of two destinations: its response does not tell
        which one.
        """
        destinations: dict[str, str] = {}
        for destination, _ in case.shares:
            description = _describe_destination(destination, case)
            for name in self.find_workloads(destination):
                if destinations.setdefault(name, description) != description:
                    raise OverlappingShares(
                        f"{name} is in {destinations[name]} and in {description}"
                    )
        return destinations

    def expected_shares(self, case: Case) -> dict[str, float]:
        """Return destination -> share (0..1) of a case, by the names of `map_destinations`."""
        return {
            _describe_destination(destination, case): share for destination, share in case.shares
        }

    def count_visits(self, case: Case) -> int:
        """Return how often to send the request of a case that is not judged.

        Another route may send a part of its requests to the case's workloads. With this many
        requests it passes for the case's route with a chance of `beta` at most. That does not hold
        for routes that send more than MAX_OVERLAP there; see `find_ambiguities`.
        """
        if case.answer.extra_seconds or case.answer.min_seconds:
            return 1
        if _is_repeated_split(case):
            leaks = [self._measure_leak(case, shares) for shares in case.alternative_shares]
            telling = [leak for leak in leaks if 1 - MAX_OVERLAP <= leak < 1]
            requests = math.log(self._beta) / math.log1p(-min(telling)) if telling else 0
            return max(MIN_VISITS, math.ceil(requests))
        if not _is_plain(case):
            return MIN_VISITS
        key = case.table_index, case.shares[0][0]
        if key not in self._visits:
            overlaps = [self._measure_overlap(key[1], share) for share in case.alternative_shares]
            largest = max(
                (min(share, MAX_OVERLAP) for share in overlaps if 0 < share < 1), default=0.0
            )
            requests = math.log(self._beta) / math.log(largest) if largest else 0
            self._visits[key] = max(MIN_VISITS, math.ceil(requests))
        return self._visits[key]

    def count_copies(
        self, case: Case, requests: Sequence[tuple[str, str]], counts: Counter[tuple[str, str]]
    ) -> list[int]:
        """Return, for each request, how many copies of it the case's mirror destination got.

        `requests` has a pair for each: the value of its header MIRROR_HEADER and the workload that
        answered. `counts` maps (value, workload) -> how often that workload got that value.
        """
        (destination, _), *_ = case.answer.mirrors
        workloads = self.find_workloads(destination)
        return [
            sum(counts[token, name] for name in workloads) - (workload in workloads)
            for token, workload in requests
        ]

    def _measure_overlap(self, destination: Destination, shares: Shares) -> float:
        """Return the part (0..1) of another route's requests that `destination` would get."""
        total = 0.0
        for target, share in shares:
            workloads = self.find_workloads(target)
            total += (
                share * len(workloads & self.find_workloads(destination)) / len(workloads)
                if workloads
                else 0
            )
        return total

    def find_ambiguities(self, case: Case) -> list[Ambiguity]:
        """Return the other routes that send only to some of the case's workloads."""
        if _is_repeated_split(case):
            return list(self._find_split_ambiguities(case))
        if not _is_plain(case) or case.answer.extra_seconds or case.answer.min_seconds:
            return []
        workloads = self.find_workloads(case.shares[0][0])
        ambiguities = []
        for alternative in case.alternative_shares:
            reachable = [
                self.find_workloads(destination) for destination, share in alternative if share
            ]
            common = frozenset[str]().union(*reachable)
            if (
                all(reachable)
                and common < workloads
                and math.isclose(sum(share for _, share in alternative), 1)
            ):
                share = (len(workloads) - len(common)) / len(workloads)
                description = " or ".join(
                    dict.fromkeys(str(destination) for destination, share in alternative if share)
                )
                max_requests = math.ceil(math.log(FALSE_ALARM) / math.log1p(-share))
                ambiguities.append(Ambiguity(workloads - common, description, max_requests))
        return ambiguities

    def tells_split(self, case: Case) -> bool:
        """Say whether who answers a split tells its route from every other one of its table.

        It does not where another route has the same destinations in other shares.
        """
        return all(
            self._measure_leak(case, shares) >= 1 - MAX_OVERLAP
            or self._list_missing(case, shares)
            or _have_same_shares(case.shares, shares)
            for shares in case.alternative_shares
        )

    def _measure_leak(self, case: Case, shares: Shares) -> float:
        """Return the part (0..1) of another route's requests that none of a case would answer."""
        own = frozenset[str]().union(*(self.find_workloads(target) for target, _ in case.shares))
        inside = 0.0
        for target, share in shares:
            names = self.find_workloads(target)
            inside += share * len(names & own) / len(names) if names else 0.0
        return max(0.0, 1 - inside)

    def _list_missing(self, case: Case, shares: Shares) -> list[tuple[str, float]]:
        """Return the workloads of a case that another route does not send to, with their share."""
        other = frozenset[str]().union(
            *(self.find_workloads(target) for target, share in shares if share)
        )
        return [
            (name, share / len(names))
            for target, share in case.shares
            if share
            for names in (self.find_workloads(target),)
            for name in names - other
        ]

    def _find_split_ambiguities(self, case: Case) -> Iterator[Ambiguity]:
        """Yield the other routes whose answers may all be those of a split."""
        for shares in case.alternative_shares:
            missing = self._list_missing(case, shares)
            if not missing or self._measure_leak(case, shares) >= 1 - MAX_OVERLAP:
                continue
            names = dict.fromkeys(str(target) for target, share in shares if share)
            total = min(math.fsum(share for _, share in missing), 1 - FALSE_ALARM)
            max_requests = math.ceil(math.log(FALSE_ALARM) / math.log1p(-total))
            deciding = frozenset(name for name, _ in missing)
            yield Ambiguity(deciding, " or ".join(names), max_requests)


def judge_splits_once(plan: Plan, workloads: Workloads) -> Plan:
    """Return the plan with one judgement for each split of a route.

    The other cases of the route show who answers, where that tells it from every other route.
    """
    cases = tuple(
        replace(case, answer=replace(case.answer, ignores_shares=True))
        if _may_go_unjudged(case) and workloads.tells_split(case)
        else case
        for case in plan.cases
    )
    return replace(plan, cases=cases)


def _may_go_unjudged(case: Case) -> bool:
    """Say whether another case judges the split of a case, and nothing else of it is random."""
    answer = case.answer
    is_split = not (answer.mirrors or answer.delayed_share or answer.proxy_reply)
    return case.repeats_split and case.needs_judge and is_split and not case.dead_ends


def _is_repeated_split(case: Case) -> bool:
    """Say whether a case shows who answers a split that another case judges."""
    return case.repeats_split and case.answer.ignores_shares


def _have_same_shares(shares: Shares, others: Shares) -> bool:
    """Say whether two routes send the same shares to the same destinations."""
    weights, other_weights = (
        {(target.host, target.labels): share for target, share in split if share}
        for split in (shares, others)
    )
    return weights.keys() == other_weights.keys() and all(
        math.isclose(share, other_weights[key]) for key, share in weights.items()
    )


def merge_twins(plan: Plan, workloads: Workloads) -> Plan:
    """Return the plan with one destination in each case for those that the same pods answer for.

    Services of one selector are such twins, as Argo Rollouts has them at rest: which of them sent
    a request to a pod, no answer can show.
    """
    return replace(plan, cases=tuple(_merge_twins(case, workloads) for case in plan.cases))


def _merge_twins(case: Case, workloads: Workloads) -> Case:
    """Return a case with its twins merged into the first of them with the largest share."""
    arrivals = case.answer.arrivals
    if len(case.shares) < 2 or len(arrivals) != len(case.shares):
        return case
    pairs = sorted(zip(case.shares, arrivals, strict=True), key=lambda pair: -pair[0][1])
    merged: dict[frozenset[str], tuple[Destination, float, Arrival]] = {}
    names: list[str] = []
    for (destination, share), arrival in pairs:
        key = workloads.find_workloads(destination) or frozenset({str(destination)})
        first, total, first_arrival = merged.setdefault(key, (destination, 0.0, arrival))
        if share and arrival != first_arrival:
            return case
        merged[key] = first, total + share, first_arrival
        names += [] if first is destination else [f"{destination} from {first}"]
    if not names:
        return case
    unproven = f"what tells {', '.join(names)}: the same pods answer for both"
    answer = replace(
        case.answer,
        arrivals=tuple(arrival for _, _, arrival in merged.values()),
        unproven=(*case.answer.unproven, unproven),
    )
    shares = tuple((destination, share) for destination, share, _ in merged.values())
    return replace(case, shares=shares, answer=answer)


def _is_plain(case: Case) -> bool:
    """Say whether a case has one destination and nothing that needs the judge."""
    return len(case.shares) == 1 and not case.needs_judge and not case.answer.proxy_reply_share


def _describe_destination(destination: Destination, case: Case) -> str:
    """Return name and subset of a destination, with its namespace if the case needs it."""
    name, namespace = split_host(destination.host)
    hosts = {target.host for target, _ in case.shares if split_host(target.host)[0] == name}
    return f"{name}{f'.{namespace}' if len(hosts) > 1 else ''} {destination.subset}".strip()
