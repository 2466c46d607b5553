"""Loads a user's rules from files and live namespaces, and derives their cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from meshproof import inventory, rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.pods import makes_pods
from meshproof.inventory.services import read_selectors
from meshproof.mesh.echo.workloads import (
    Workloads,
    check_hosts,
    merge_twins,
    plan_echo_workloads,
)
from meshproof.mesh.envoy.listeners import MIRROR_HEADER
from meshproof.mesh.http import HttpRequest
from meshproof.oracle import derive, gaps
from meshproof.oracle.dead_ends import mark_dead_ends
from meshproof.oracle.derive import Case, Plan
from meshproof.oracle.gaps import UnprovenField
from meshproof.rules import judge_options
from meshproof.rules.known_hosts import read_known_hosts
from meshproof.rules.legacy import ingress
from meshproof.rules.model import RuleSet
from meshproof.user_rules import live
from meshproof.user_rules.excluded import Excluded, LiveObjects
from meshproof.user_rules.surroundings import Surroundings, describe_world, read_surroundings

if TYPE_CHECKING:
    from meshproof.documents.manifest import Document
    from meshproof.mesh.protocol import ClusterOptions

#: Requests of a batch, after which their mirrored copies are counted.
COPY_BATCH = 200
#: How many requests with slow responses are under way at once.
SLOW_WORKERS = 100
#: A response is slow from this many seconds on: its request is sent ahead of others.
_MIN_SLOW_SECONDS = 0.9
#: What of a live namespace is not read.
_UNREAD_LIVE = "pods of kinds other than Deployment, StatefulSet and DaemonSet"
#: Headers that HTTP clients add by themselves.
_CLIENT_HEADERS = ("accept", "accept-encoding", "user-agent")


@dataclass(frozen=True)
class UserRules:
    """A user's rules and their cases, with what is known of their hosts.

    `unproven` are fields of the rules that no case can prove, `excluded` are live objects that are
    not checked at all.
    """

    rules: RuleSet
    plan: Plan
    known_hosts: KnownHosts
    unproven: tuple[UnprovenField, ...] = ()
    excluded: tuple[Excluded, ...] = ()

    @cached_property
    def workloads(self) -> Workloads:
        """The echo workloads that stand for the services of the rules."""
        return Workloads(plan_echo_workloads(self.rules, self.known_hosts))

    @cached_property
    def world_notes(self) -> tuple[str, ...]:
        """What of the world around the rules is stood in for, and what could not be read."""
        return tuple(describe_world(self.rules, self.known_hosts))

    @cached_property
    def _omitted_headers(self) -> tuple[str, ...]:
        """The headers of HTTP clients that the rules match or change."""
        routes = [route for table in self.rules.tables for route in table.routes]
        used_names: set[str] = set()
        for route in routes:
            for match in route.matches:
                used_names |= {name for name, _ in match.headers + match.without_headers}
            for changes in route.all_headers:
                used_names |= set(changes.request.names)
        return tuple(name for name in _CLIENT_HEADERS if name in used_names)

    def name_route(self, case: Case) -> str:
        """Return the name of a case's route for reports, "" for a case of no route."""
        if case.route_index is None:
            return ""
        table = self.plan.coverage[case.table_index].table
        route = table.routes[case.route_index]
        return route.name or f"{table.name} route {case.route_index + 1}"

    def build_request(self, case: Case) -> HttpRequest:
        """Return the HTTP request of a case; if mirrored, it has a new number each time."""
        call = case.call
        return HttpRequest(
            call.request_target,
            (("Host", call.host_header), *call.headers, *case.answer.instruction_headers),
            call.method,
            tuple(name for name in self._omitted_headers if call.header(name) is None),
            case.answer.extra_seconds,
            (MIRROR_HEADER, case.token) if case.answer.mirrors else None,
        )


def is_sent_ahead(case: Case) -> bool:
    """Say whether a case has a slow response and is sent before others; never one for the judge."""
    seconds = max(case.answer.extra_seconds, case.answer.min_seconds)
    return not case.needs_judge and seconds > _MIN_SLOW_SECONDS


def load(
    paths: Sequence[str],
    cluster_options: ClusterOptions | None = None,
    allow_empty: bool = False,
    inventory_paths: Sequence[str] = (),
) -> UserRules:
    """Read rule files, folders and live namespaces; derive their cases.

    `inventory_paths` are where Services, workloads and entries are that the rules stand on.
    `cluster_options` say which cluster where `cluster:NAMESPACE` does not. Live objects that are
    not supported are excluded; `allow_empty` allows that no other is left. Raises BadRules with
    file and line for what cannot be read and when no case follows; for live rules it raises as
    `live.read_texts` does.
    """
    files = manifest.read(path for path in paths if not live.is_live(path))
    live_paths = [path for path in paths if live.is_live(path)]
    namespaces = {name for path in live_paths for name in live.parse_source(path).namespaces}
    surroundings = read_surroundings(inventory_paths, cluster_options)
    live_objects = LiveObjects(live.read_documents(live_paths, cluster_options), namespaces)
    user_rules: UserRules | None = None
    while user_rules is None:
        if allow_empty and live_objects.excluded and not (files or live_objects.has_routes):
            user_rules = UserRules(RuleSet(), Plan((), ()), KnownHosts())
            break
        try:
            documents = [*files, *live_objects.documents]
            user_rules = _build_user_rules(documents, bool(live_paths), surroundings)
        except BadRules as error:
            if not live_objects.exclude_cause_of(error):
                raise BadRules("\n".join(map(str, [error, *live_objects.excluded]))) from None
    return replace(user_rules, excluded=tuple(live_objects.excluded))


def _build_user_rules(
    documents: Sequence[Document], are_live: bool, surroundings: Surroundings
) -> UserRules:
    """Read rules and known hosts from documents and derive the cases.

    Raises BadRules with file and line, `are_live` also for hosts without a Service.
    """
    rule_documents = [document for document in documents if _may_route(document)]
    for document in documents:
        if not _may_route(document):
            judge_options.read_options(document)  # an option there holds for nothing
    rule_set = rules.collect_rules(
        rule_documents,
        read_selectors(document for document in documents if document.kind == "Service"),
        ingress.find_istio_classes(documents),
    )
    # The first one may be of a live object that is excluded then; a user's files are told in full.
    if len(rule_set.problems) > 1 and not are_live:
        raise BadRules("\n".join(map(str, rule_set.problems)))
    rules.check_complete(rule_set)
    known_hosts = read_known_hosts(
        [*documents, *surroundings.documents],
        rule_set,
        surroundings.unread,
        (_UNREAD_LIVE,) if are_live else (),
    )
    if are_live:
        check_hosts(rule_set, known_hosts)
    plan = mark_dead_ends(derive.derive(rule_set, known_hosts.http_ports), known_hosts)
    plan = merge_twins(plan, Workloads(plan_echo_workloads(rule_set, known_hosts)))
    return UserRules(rule_set, plan, known_hosts, tuple(gaps.find_unproven_fields(documents)))


def _may_route(document: Document) -> bool:
    """Say whether an object is none of those that rules stand on: Services, whatever has pods."""
    return document.kind not in inventory.INVENTORY_KINDS and not makes_pods(document)
