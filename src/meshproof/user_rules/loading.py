"""A user's own rules: read from files, with the cases that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from meshproof import inventory, rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.inventory import Inventory
from meshproof.mesh.echo.workloads import Workloads, check_hosts, echoes
from meshproof.mesh.envoy.listeners import MIRROR
from meshproof.oracle import derive
from meshproof.oracle import gaps as unproven
from meshproof.oracle.derive import Case, Plan
from meshproof.oracle.gaps import UnprovenField
from meshproof.rules import judge_options
from meshproof.rules.legacy import ingress
from meshproof.rules.model import RuleSet
from meshproof.traffic.http import Request
from meshproof.user_rules import excluded, live
from meshproof.user_rules.excluded import Excluded

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document
    from meshproof.mesh.protocol import ClusterOptions

#: So many requests are sent before their copies are looked for.
COPIED = 200
#: So many requests of which answers take their time are under way at once.
AT_ONCE = 100
#: An answer that takes longer (seconds) is asked for before it is looked at.
_AHEAD = 0.9
#: Headers that a client sends though nobody asked it to.
_OF_CLIENTS = ("accept", "accept-encoding", "user-agent")


@dataclass(frozen=True)
class UserRules:
    """Rules, their cases, what is known beside them, and what of them no case can prove.

    `asides` are live objects that are not checked at all.
    """

    rules: RuleSet
    plan: Plan
    around: Inventory
    unproven: tuple[UnprovenField, ...] = ()
    asides: tuple[Excluded, ...] = ()

    @cached_property
    def workloads(self) -> Workloads:
        """The echo workloads that stand for the services of the rules."""
        return Workloads(echoes(self.rules, self.around))

    @cached_property
    def _without(self) -> tuple[str, ...]:
        """The headers of clients that the rules ask for or change."""
        matches = [
            match for one in self.rules.tables for route in one.routes for match in route.matches
        ]
        asked = {name for one in matches for name, _ in one.headers + one.without_headers}
        for route in (route for table in self.rules.tables for route in table.routes):
            for changes in route.all_headers:
                asked |= set(changes.request.names)
        return tuple(name for name in _OF_CLIENTS if name in asked)

    def request(self, case: Case) -> Request:
        """Return the request of a case as HTTP; if it is mirrored, each sending has its name."""
        call = case.call
        return Request(
            call.request_target,
            (("Host", call.host_header), *call.headers, *case.answer.instruction_headers),
            call.method,
            tuple(name for name in self._without if call.header(name) is None),
            case.answer.extra_seconds,
            (MIRROR, case.token) if case.answer.mirrors else None,
        )


def is_ahead(case: Case) -> bool:
    """Say whether the request of a case is sent before others: its answer takes its time."""
    return not case.needs_judge and max(case.answer.extra_seconds, case.answer.min_seconds) > _AHEAD


def load(
    paths: Sequence[str], reach: ClusterOptions | None = None, empty: bool = False
) -> UserRules:
    """Read rule files, folders and live namespaces; derive their cases.

    `reach` says which cluster where `cluster:NAMESPACE` does not. A live object that is beyond
    meshproof is set aside; `empty` says that nothing may be left. Raises BadRules with file and
    line for what cannot be read and when no case follows; for live rules as `live.texts` does.
    """
    _last.clear()
    files = manifest.read(path for path in paths if not live.is_live(path))
    chosen = [path for path in paths if live.is_live(path)]
    namespaces = {name for path in chosen for name in live.source(path).namespaces}
    living = excluded.Living(live.read(chosen, reach), namespaces)
    loaded: UserRules | None = None
    while loaded is None:
        if empty and living.asides and not (files or living.routes):
            loaded = UserRules(RuleSet(), Plan((), ()), Inventory())
            break
        try:
            loaded = _loaded([*files, *living.documents], bool(chosen))
        except BadRules as error:
            if not living.take(error):
                named = "".join(f"\n{one}" for one in living.asides)
                raise BadRules(f"{error}{named}") from None
    _last[tuple(paths)] = replace(loaded, asides=tuple(living.asides))
    return _last[tuple(paths)]


def _loaded(documents: Sequence[Document], are_live: bool) -> UserRules:
    for beside in (one for one in documents if one.kind in inventory.INVENTORY_KINDS):
        judge_options.read_options(beside)  # an option there holds for nothing
    found = rules.read_rules(
        (one for one in documents if one.kind not in inventory.INVENTORY_KINDS),
        inventory.read_selectors(one for one in documents if one.kind == "Service"),
        ingress.find_istio_classes(documents),
    )
    around = inventory.read_inventory(documents, found)
    if are_live:
        check_hosts(found, around)
    plan = derive.derive(found, around.ports)
    return UserRules(found, plan, around, tuple(unproven.find_unproven_fields(documents)))


def hand_over(paths: Sequence[str], found: UserRules) -> None:
    """Let `loaded` return these rules for `paths`: their cases may come from elsewhere."""
    _last.clear()
    _last[tuple(paths)] = found


#: What was read last: the command looks at the rules before pytest does.
_last: dict[tuple[str, ...], UserRules] = {}


def loaded(paths: Sequence[str], reach: ClusterOptions | None = None) -> UserRules:
    """Return what `load` has just read from these paths, or read it."""
    return _last.get(tuple(paths)) or load(paths, reach)
