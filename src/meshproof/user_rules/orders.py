"""The orders that several rules of one host may have, where nothing says which one it is.

istiod takes the older of two rules of a mesh host, and of two Gateways of one proxy. Files do not
say their age. A comparison then holds for each order, and each is taken on both sides alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from meshproof.rules.model import Gateway, RouteTable, RuleSet
from meshproof.user_rules import live
from meshproof.user_rules.loading import date_rules
from meshproof.user_rules.sides import Side
from meshproof.verdict.phrases import join_names

#: Times of creation before and after each real one.
_OLDEST, _YOUNGEST = "0", "9"
#: The name of a rule (`Rule namespace/name`) or of a Gateway -> when it was created.
Ages = Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """Rules, or Gateways, of which nothing says which one comes first, by name.

    `names` are those that do not say their age, `is_partly_dated` if others of them do. `rules` are
    all rules whose order theirs decides.
    """

    names: tuple[str, ...]
    is_partly_dated: bool = False
    rules: frozenset[str] = frozenset()

    @property
    def order_count(self) -> int:
        """In how many orders each of them is the first once."""
        return len(self.names) + self.is_partly_dated

    def list_ages(self, number: int) -> Iterator[tuple[str, str]]:
        """Yield the age of each in the order of a number: another one is the oldest in each."""
        first = number % self.order_count
        for rank, name in enumerate(self.names):
            yield name, _OLDEST if rank == first else f"{_YOUNGEST}{rank:06d}"

    def describe_order(self, number: int) -> str:
        """Return in words what the order of a number assumes."""
        first = number % self.order_count
        names = [name.partition(" ")[2] for name in self.names]
        kind = "Gateway" if self.names[0].startswith("Gateway ") else ""
        if first == len(names):
            plural, verb = ("s", "are") if len(names) > 1 else ("", "is")
            text = f"{kind and f'{kind}{plural} '}{join_names(names)}"
            return f"if {text} {verb} younger than the others"
        others = [name for rank, name in enumerate(names) if rank != first]
        than = join_names(others) if others else "the others"
        return f"if {kind and f'{kind} '}{names[first]} is older than {than}"


@dataclass(frozen=True)
class Order:
    """Both sides with the ages of one order; `number` counts the orders of the groups."""

    before: Side
    after: Side
    groups: tuple[Group, ...] = ()
    number: int = 0

    def describe(self, rules: Iterable[str]) -> str:
        """Return in words what is assumed of the groups that have one of some rules."""
        names = {name for name in rules if name}
        groups = [group for group in self.groups if names & group.rules] or self.groups
        return ", and ".join(group.describe_order(self.number) for group in groups)


def list_orders(before: Side, after: Side) -> list[Order]:
    """Return the sides in each order: one where the rules leave nothing open.

    An object has the age that its namesake on the other side has. Beside a live side a new object
    is the youngest.
    """
    before, after = _take_ages(before, after), _take_ages(after, before)
    groups = tuple(_list_groups((before, after)))
    if not groups:
        return [Order(before, after)]
    gateways = [
        gateway
        for side in (before, after)
        for gateway in side.user_rules.rules.gateways
        if not gateway.created
    ]
    gateway_names = sorted({name_gateway(gateway) for gateway in gateways})
    count = max(group.order_count for group in groups)
    if len(gateway_names) > 1:
        count = max(count, 2)
    return [
        _make_order(before, after, groups, number, gateway_names[:: -1 if number % 2 else 1])
        for number in range(count)
    ]


def name_rule(table: RouteTable) -> str:
    """Return the name of a rule on each side: what it is, its namespace and its name."""
    return f"{'Route' if table.is_gateway_api else 'Rule'} {table.namespace}/{table.name}"


def name_gateway(gateway: Gateway) -> str:
    """Return the same for a Gateway."""
    return f"Gateway {gateway.name}"


def _make_order(
    before: Side, after: Side, groups: tuple[Group, ...], number: int, gateway_names: list[str]
) -> Order:
    """Return the sides in the order of a number, with Gateways in the order of their names."""
    ages = {name: f"{_YOUNGEST}{rank:06d}" for rank, name in enumerate(gateway_names)}
    ages |= {name: age for group in groups for name, age in group.list_ages(number)}
    return Order(_date(before, ages), _date(after, ages), groups, number)


def _take_ages(side: Side, other: Side) -> Side:
    """Return a side whose objects have the ages that they have on the other side."""
    rules = other.user_rules.rules
    ages = {name_rule(table): table.created for table in rules.tables if table.created}
    ages |= {name_gateway(gateway): gateway.created for gateway in rules.gateways}
    if live.is_live(other.name.path):
        new = (name_rule(table) for table in side.user_rules.rules.tables)
        ages = {**{name: f"{_YOUNGEST}{name}" for name in new if name not in ages}, **ages}
    return _date(side, ages)


def _date(side: Side, ages: Ages) -> Side:
    """Return a side whose objects without an age have those of `ages`."""
    rules = side.user_rules.rules
    tables = tuple(
        replace(table, created=table.created or ages.get(name_rule(table), ""))
        for table in rules.tables
    )
    gateways = tuple(
        replace(gateway, created=gateway.created or ages.get(name_gateway(gateway), ""))
        for gateway in rules.gateways
    )
    dated = replace(rules, tables=tables, gateways=gateways)
    if _list_ages(dated) == _list_ages(rules):  # for == itself an age does not count
        return side
    return replace(side, user_rules=date_rules(side.user_rules, dated))


def _list_ages(rules: RuleSet) -> list[str]:
    """Return the ages of all objects in their order."""
    tables, gateways = rules.tables, rules.gateways
    return [table.created for table in tables] + [gateway.created for gateway in gateways]


def _list_groups(sides: tuple[Side, Side]) -> Iterator[Group]:
    """Yield the rules whose order nothing says: all that are linked by such pairs are a group."""
    links: dict[str, set[str]] = {}
    dated: set[str] = set()
    gateways: dict[str, set[str]] = {}
    by_gateways: list[tuple[set[str], set[str]]] = []
    for coverage in (entry for side in sides for entry in side.user_rules.plan.coverage):
        for rival in coverage.unordered:
            pair = {name_rule(coverage.table), name_rule(rival)}
            for name in pair:
                links.setdefault(name, set()).update(pair)
            for table in (coverage.table, rival):
                gateways.setdefault(name_rule(table), set()).update(table.gateways or ())
                dated |= {name_rule(table)} if table.created else set()
    left = sorted(links)
    while left:
        names, waiting = set[str](), [left[0]]
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += links[name]
        left = [name for name in left if name not in names]
        undated = tuple(sorted(names - dated))
        if undated:
            yield Group(undated, bool(names & dated), frozenset(names))
        else:  # their Gateways say no age
            by_gateways.append((set[str]().union(*(gateways[name] for name in names)), names))
    yield from _list_gateway_groups(sides, by_gateways)


def _list_gateway_groups(
    sides: tuple[Side, Side], by_gateways: Iterable[tuple[set[str], set[str]]]
) -> Iterator[Group]:
    """Yield the groups of Gateways that decide the order of rules; those with a common one are one.

    `by_gateways` has the names of Gateways with the rules that they decide.
    """
    listed = [gateway for side in sides for gateway in side.user_rules.rules.gateways]
    all_undated = {gateway.name for gateway in listed if not gateway.created}
    merged: list[tuple[set[str], set[str]]] = []
    for named, rules in by_gateways:
        common = [group for group in merged if group[0] & named & all_undated]
        merged = [group for group in merged if group not in common]
        merged.append(
            (
                named.union(*(group[0] for group in common)),
                rules.union(*(group[1] for group in common)),
            )
        )
    for named, rules in merged:
        undated = sorted(f"Gateway {name}" for name in named & all_undated)
        if undated:
            is_partly_dated = any(gateway.created for gateway in listed if gateway.name in named)
            yield Group(tuple(undated), is_partly_dated, frozenset(rules))
