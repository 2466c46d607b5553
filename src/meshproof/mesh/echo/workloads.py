"""The echo workloads that stand for the services of rules, and what their answers can tell."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meshproof.base.names import CLUSTER_DOMAIN, MESH, Labels, is_service
from meshproof.documents.manifest import At
from meshproof.inventory import Inventory
from meshproof.oracle.actions import Shares
from meshproof.oracle.derive import Case, Destination
from meshproof.rules.model import RouteTable, RuleSet

#: Label of the workload that no subset of the rules selects: it shows that others are not moved.
OTHER: Labels = (("version", "other"),)
#: So often at least the request of a case is sent that one destination must answer.
VISITS = 3
#: How often the answers of another route may be taken for those of a case's own, if none is said.
MISSED = 1e-3
#: A route is told from one of whose requests its own workloads get this part at most.
LARGEST = 0.9
#: How often workloads may stay unseen by chance though they are asked.
FALSE_ALARM = 1e-9


@dataclass(frozen=True)
class Echo:
    """An echo workload: the service it belongs to and its labels; `name` is what it answers."""

    name: str
    host: str
    labels: Labels


#: The ports of a service of which nothing else is known.
DEFAULT_PORTS = (80,)
#: Where hosts are that are no services of the cluster.
OUTSIDE = "outside"


def named_in(host: str) -> tuple[str, str]:
    """Return name and namespace of a service."""
    if not host.endswith(f".{CLUSTER_DOMAIN}"):
        return host, OUTSIDE
    name, namespace = host.split(".")[:2]
    return name, namespace


def check_hosts(rules: RuleSet, around: Inventory) -> None:
    """Raise BadRules for a host that is no service of the cluster, nor of a ServiceEntry."""
    for host, at in _hosts(rules).items():
        if not is_service(host) and host not in around.external_hosts:
            raise at.unsupported(
                f"{host}: only services of the cluster get an echo workload yet, and hosts of "
                "a ServiceEntry"
            )


def _hosts(rules: RuleSet) -> dict[str, At]:
    """Return every host that the rules are about or send to, in order, with a place of it."""
    found: dict[str, At] = {}
    for table in rules.tables:
        for host, at in _named(table):
            found.setdefault(host, at)
    return found


def _named(table: RouteTable) -> Iterator[tuple[str, At]]:
    if table.gateways is None or MESH in table.gateways:
        yield from ((host, table.at) for host in table.hosts)
    for target in (target for route in table.routes for target in route.targets):
        yield target.host, target.at or table.at


def echoes(rules: RuleSet, around: Inventory) -> list[Echo]:
    """Return the echo workloads: those that are known, else one for each subset and one of none."""
    found: dict[str, Echo] = {}
    for host in _hosts(rules):
        name, namespace = named_in(host)
        for labels in around.workloads.get(host) or _subsets(rules, around, host):
            base = called = f"{name}.{namespace}.{_words(labels, around.selectors.get(host, ()))}"
            for number in itertools.count(2):
                if found.setdefault(called, Echo(called, host, labels)).labels == labels:
                    break
                called = f"{base}-{number}"
    return list(found.values())


def ports(rules: RuleSet, around: Inventory) -> dict[str, tuple[int, ...]]:
    """Return the ports of each host that the rules name: those that its Service describes.

    Where none does, those that rules name, or the default one, and every port of which a rule sends
    there without naming one: a sidecar sends on to the port that was called.
    """
    found = {host: set(around.ports.get(host) or DEFAULT_PORTS) for host in _hosts(rules)}
    servers = {one.name: [server.port for server in one.servers] for one in rules.gateways}
    sent = [
        (table, target.host)
        for table in rules.tables
        for route in table.routes
        for target in route.targets
        if target.port is None and target.host not in around.workloads
    ]
    grown = True
    while grown:
        grown = False
        for table, host in sent:
            called = {port for name in table.gateways or () for port in servers.get(name, ())}
            if table.gateways is None or MESH in table.gateways:
                called |= {port for one in table.hosts for port in found.get(one, ())}
            grown = grown or not called <= found[host]
            found[host] |= called
    return {host: tuple(sorted(listed)) for host, listed in found.items()}


def _subsets(rules: RuleSet, around: Inventory, host: str) -> list[Labels]:
    routes = [route for table in rules.tables for route in table.routes]
    used = [target.labels for route in routes for target in route.targets if target.host == host]
    named = [labels for labels in (*used, *around.subsets.get(host, ())) if labels]
    return list(dict.fromkeys([OTHER, *named]))


def _words(labels: Labels, selector: Labels) -> str:
    return "-".join(value for key, value in labels if (key, value) not in selector) or "plain"


@dataclass(frozen=True)
class Ambiguity:
    """A way to answer that some of a case's workloads could hide: only others tell that it is none.

    `beyond` are the names of those others, `words` what would answer in that way, `max_requests`
    after how many answers none of `beyond` is no chance any more.
    """

    beyond: frozenset[str]
    words: str
    max_requests: int


class TwoAtOnce(Exception):
    """A split between parts that overlap, as a service and one of its subsets."""


class Workloads:
    """Which echo workloads may answer a case, and how many requests tell that from other routes."""

    def __init__(self, echoes: Sequence[Echo], missed: float = MISSED) -> None:
        self.echoes = tuple(echoes)
        self._missed = missed
        self._behind: dict[Destination, frozenset[str]] = {}
        self._visits: dict[tuple[int, Destination], int] = {}

    def behind(self, one: Destination) -> frozenset[str]:
        """Return the names of the workloads of a destination."""
        if one not in self._behind:
            self._behind[one] = frozenset(
                echo.name
                for echo in self.echoes
                if echo.host == one.host and set(one.labels) <= set(echo.labels)
            )
        return self._behind[one]

    def names(self, case: Case) -> dict[str, str]:
        """Return name of an echo workload -> destination of the case that it belongs to.

        Raises TwoAtOnce for one that belongs to two: an answer of it does not tell which was meant.
        """
        found: dict[str, str] = {}
        for one, _ in case.shares:
            named = _destination(one, case)
            for name in self.behind(one):
                if found.setdefault(name, named) != named:
                    raise TwoAtOnce(f"{name} is in {found[name]} and in {named}")
        return found

    def expected(self, case: Case) -> dict[str, float]:
        """Return destination -> share (0..1) of a case, by the names that `names` gives."""
        return {_destination(one, case): share for one, share in case.shares}

    def visits(self, case: Case) -> int:
        """Return how often the request of a case is sent that is not judged; see `hiding`.

        A route of which the case's workloads get a part of the requests is not taken for the
        case's own, but for `missed` of the runs; one of which they get more than LARGEST may be.
        """
        if case.answer.extra_seconds or case.answer.min_seconds:
            return 1
        if not _is_plain(case):
            return VISITS
        key = case.table_index, case.shares[0][0]
        if key not in self._visits:
            parts = [self._part(key[1], one) for one in case.alternative_shares]
            largest = max((min(one, LARGEST) for one in parts if 0 < one < 1), default=0.0)
            needed = math.log(self._missed) / math.log(largest) if largest else 0
            self._visits[key] = max(VISITS, math.ceil(needed))
        return self._visits[key]

    def copied(
        self, case: Case, asked: Sequence[tuple[str, str]], seen: Counter[tuple[str, str]]
    ) -> list[int]:
        """Return how many copies the mirror of a case has got of each of some requests.

        `asked` are, for each, the value of its header MIRROR and the workload that answered it,
        `seen` such pairs -> how often that workload has seen that value.
        """
        (goal, _), *_ = case.answer.mirrors
        behind = self.behind(goal)
        return [
            sum(seen[token, name] for name in behind) - (answered in behind)
            for token, answered in asked
        ]

    def _part(self, own: Destination, rival: Shares) -> float:
        """Return which part (0..1) of the requests of a rival goes to workloads of `own`."""
        total = 0.0
        for one, share in rival:
            behind = self.behind(one)
            total += share * len(behind & self.behind(own)) / len(behind) if behind else 0
        return total

    def hiding(self, case: Case) -> list[Ambiguity]:
        """Return the other routes that send to some of a case's workloads and to nothing else."""
        if not _is_plain(case) or case.answer.extra_seconds or case.answer.min_seconds:
            return []
        own = self.behind(case.shares[0][0])
        found = []
        for rival in case.alternative_shares:
            parts = [self.behind(one) for one, share in rival if share]
            used = frozenset[str]().union(*parts)
            if all(parts) and used < own and math.isclose(sum(share for _, share in rival), 1):
                share = (len(own) - len(used)) / len(own)
                words = " or ".join(dict.fromkeys(str(one) for one, share in rival if share))
                enough = math.ceil(math.log(FALSE_ALARM) / math.log1p(-share))
                found.append(Ambiguity(own - used, words, enough))
        return found


def _is_plain(case: Case) -> bool:
    return len(case.shares) == 1 and not case.needs_judge and not case.answer.proxy_reply_share


def _destination(one: Destination, case: Case) -> str:
    """Return a destination in words: with its namespace where the case has two of that name."""
    name, namespace = named_in(one.host)
    hosts = {other.host for other, _ in case.shares if named_in(other.host)[0] == name}
    return f"{name}{f'.{namespace}' if len(hosts) > 1 else ''} {one.subset}".strip()
