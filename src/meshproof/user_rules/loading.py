"""Loads a user's rules from files and live namespaces, and derives their cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from meshproof import rules
from meshproof.base.errors import BadRules, UndefinedSubset
from meshproof.base.names import MIRROR_HEADER
from meshproof.documents.contents import (
    Contents,
    LeftOut,
    Reason,
    Unserved,
    name_object,
    summarize_left_out,
)
from meshproof.documents.kinds import Role, find_role
from meshproof.documents.variants import list_turns
from meshproof.inventory.gateway_pods import read_gateway_pods
from meshproof.inventory.gateways import is_ambient_gateway
from meshproof.inventory.known_hosts import KnownHosts
from meshproof.inventory.namespaces import read_namespace_labels
from meshproof.inventory.pods import makes_pods
from meshproof.inventory.services import read_selectors
from meshproof.mesh.echo.workloads import (
    Workloads,
    check_hosts,
    judge_splits_once,
    merge_twins,
    plan_echo_workloads,
)
from meshproof.mesh.http import HttpRequest
from meshproof.oracle import derive, gaps
from meshproof.oracle.dead_ends import mark_dead_ends
from meshproof.oracle.derive import Case, Plan
from meshproof.oracle.explanation import Explainer
from meshproof.oracle.gaps import UnprovenField
from meshproof.rules import judge_options
from meshproof.rules.known_hosts import read_known_hosts, read_valid_sidecars
from meshproof.rules.legacy import ingress
from meshproof.rules.model import RuleSet
from meshproof.user_rules import intent, live
from meshproof.user_rules.excluded import Excluded, RuleObjects, allow_named
from meshproof.user_rules.inventory import (
    Inventory,
    describe_gateways,
    describe_world,
    list_operators,
    read_inventory,
)
from meshproof.user_rules.rendering import read_rendered

if TYPE_CHECKING:
    from meshproof.documents.manifest import At, Document
    from meshproof.documents.sources import SourceFiles
    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.run.remark import Remark
    from meshproof.user_rules.linting import LintError

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
class ReadingOptions:
    """How the files of rules are read.

    `exclude` are patterns of files in folders that are passed over. `allow_unsupported` names
    objects that need not be supported: `KIND/NAME[:FIELD]`. `inventory` are paths of what the rules
    stand on. `intent` are files of expectations, beside `meshproof.yaml` in the folders of rules.
    `no_render` leaves kustomizations and charts as they are.
    With `no_lint` the rules are not linted. With `keeps_undefined` a destination whose subset no
    object here defines is explained as one that cannot answer, although it may be elsewhere, and
    there need not be a case.
    """

    exclude: tuple[str, ...] = ()
    allow_unsupported: tuple[str, ...] = ()
    inventory: tuple[str, ...] = ()
    intent: tuple[str, ...] = ()
    no_render: bool = False
    no_lint: bool = False
    keeps_undefined: bool = False


def read_reading_options(options: object) -> ReadingOptions:
    """Return the options about reading of a command's options, whatever of them it takes."""
    return ReadingOptions(
        tuple(getattr(options, "exclude", ())),
        tuple(getattr(options, "allow_unsupported", ())),
        tuple(getattr(options, "inventory", ())),
        tuple(getattr(options, "intent", ())),
        getattr(options, "no_render", False),
        bool(getattr(options, "no_lint", False)),
    )


@dataclass(frozen=True)
class UserRules:
    """A user's rules and their cases, with what is known of their hosts.

    `unproven` are fields of the rules that no case can prove, `excluded` are objects that are not
    checked at all, `notes` say what of the files takes no part. `variant` names which of several
    objects of one name are among the rules. `lint_errors` and `route_warnings` are what lint says,
    the latter by table and route; `lint_notes` is what it says of no route. `intent_share` is the
    share of the routes (0..1) that an expectation is about, None where there is no intent.
    `documents` are all objects that are checked, with those that they stand on.
    """

    rules: RuleSet
    plan: Plan
    known_hosts: KnownHosts
    unproven: tuple[UnprovenField, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()
    variant: str = ""
    lint_errors: tuple[LintError, ...] = ()
    route_warnings: Mapping[tuple[int, int | None], tuple[Remark, ...]] = field(
        default_factory=dict
    )
    lint_notes: tuple[str, ...] = ()
    intent_share: float | None = None
    documents: tuple[Document, ...] = field(default=(), repr=False)

    @cached_property
    def workloads(self) -> Workloads:
        """The echo workloads that stand for the services of the rules."""
        return Workloads(plan_echo_workloads(self.rules, self.known_hosts))

    @cached_property
    def explainer(self) -> Explainer:
        """What tells why a request goes where it goes."""
        return Explainer(self.rules, self.known_hosts)

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

    def list_warnings(self, case: Case) -> tuple[Remark, ...]:
        """Return what lint says of the route of a case."""
        return self.route_warnings.get((case.table_index, case.route_index), ())

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
    reading: ReadingOptions | None = None,
    inventory_paths: Sequence[str] = (),
) -> UserRules:
    """Read rule files, folders and live namespaces; derive their cases.

    `inventory_paths` are where Services, workloads and entries are that the rules stand on, beside
    those of `reading`. `cluster_options` say which cluster where `cluster:NAMESPACE` does not.
    What cannot be checked is excluded, with all that depends on it. Raises BadRules with file and
    line where nothing can be read and nothing follows; for live rules as `live.read_texts` does.
    """
    reading = reading or ReadingOptions()
    sources = _read_sources(paths, cluster_options, reading, inventory_paths)
    return _load_turn(sources, reading, sources.contents)


def load_each_variant(
    paths: Sequence[str],
    cluster_options: ClusterOptions | None = None,
    reading: ReadingOptions | None = None,
) -> list[UserRules]:
    """Read the same as `load`, once for each turn of the objects that have one name."""
    reading = reading or ReadingOptions()
    sources = _read_sources(paths, cluster_options, reading)
    return [
        replace(_load_turn(sources, reading, turn.contents), variant=turn.name)
        for turn in list_turns(sources.contents)
    ]


@dataclass(frozen=True)
class _Sources:
    """What was read: files, live objects, and what they stand on.

    `intent_files` are files of expectations; `live_namespaces` are those of the live paths.
    """

    contents: Contents
    intent_files: tuple[str, ...]
    live_documents: tuple[Document, ...]
    live_namespaces: frozenset[str]
    inventory: Inventory


def _read_sources(
    paths: Sequence[str],
    cluster_options: ClusterOptions | None,
    reading: ReadingOptions,
    inventory_paths: Sequence[str] = (),
) -> _Sources:
    """Read everything once."""
    live_paths = [path for path in paths if live.is_live(path)]
    file_paths = [path for path in paths if not live.is_live(path)]
    intent_files = [*intent.find_files(file_paths), *reading.intent]
    contents = read_rendered(file_paths, reading.exclude, not reading.no_render)
    contents.left_out = [entry for entry in contents.left_out if entry.at.file not in intent_files]
    return _Sources(
        contents,
        tuple(intent_files),
        tuple(live.read_documents(live_paths, cluster_options)),
        frozenset(name for path in live_paths for name in live.parse_source(path).namespaces),
        read_inventory(
            [*inventory_paths, *reading.inventory], not reading.no_render, cluster_options
        ),
    )


def _load_turn(sources: _Sources, reading: ReadingOptions, contents: Contents) -> UserRules:
    """Derive the cases of what was read, with `contents` as what the files hold."""
    linted = [
        *contents.documents,
        *filter(_is_of_mesh, contents.others),
        *sources.live_documents,
    ]
    contents.documents = [*_remove_foreign_ingresses(contents), *_take_pod_makers(contents)]
    _set_ambient_gateways_apart(contents)
    objects = RuleObjects([*contents.documents, *sources.live_documents], sources.live_namespaces)
    objects.exclude_contents(contents)
    are_live = bool(sources.live_namespaces)
    if not are_live:
        objects.remove_unknown_gateways(contents)
    keeps_undefined = reading.keeps_undefined
    user_rules = _check_objects(
        objects, contents, are_live, sources.inventory, keeps_undefined=keeps_undefined
    )
    user_rules = _add_excluded(user_rules, objects, contents, reading)
    expectations = [
        expectation
        for file in sources.intent_files
        for expectation in intent.read_expectations(file)
    ]
    user_rules = intent.add_intent(user_rules, expectations)
    if reading.no_lint:
        return replace(user_rules, lint_notes=("not linted: --no-lint",))
    is_partial = bool(objects.list_unread() or sources.inventory.unread or contents.variants)
    inventory = sources.inventory.documents
    return _add_findings(user_rules, linted, inventory, contents.files, is_partial)


def _add_excluded(
    user_rules: UserRules, objects: RuleObjects, contents: Contents, reading: ReadingOptions
) -> UserRules:
    """Return the rules with what is not checked, and what of the files takes no part."""
    excluded, unused = allow_named(objects.excluded, reading.allow_unsupported)
    notes = [f"rendered: {file}" for file in contents.files.rendered]
    if contents.left_out:
        notes.append(f"left out: {', '.join(summarize_left_out(contents.left_out))}")
    notes += describe_gateways(user_rules.rules)
    notes += [f"--allow-unsupported {pattern}: nothing here has that name" for pattern in unused]
    return replace(
        user_rules,
        excluded=excluded,
        notes=tuple(notes),
    )


def _add_findings(
    user_rules: UserRules,
    objects: Sequence[Document],
    inventory: Sequence[Document],
    files: SourceFiles,
    is_partial: bool,
) -> UserRules:
    """Return the rules with what lint says of their objects."""
    from meshproof.user_rules import linting  # late: the checks are many modules

    findings = linting.find_mistakes(objects, inventory, files, is_partial)
    report, excluded = linting.build_report(findings, objects, user_rules.plan, user_rules.excluded)
    return replace(
        user_rules,
        excluded=excluded,
        lint_notes=report.notes,
        lint_errors=report.errors,
        route_warnings=report.route_warnings,
    )


def _set_ambient_gateways_apart(contents: Contents) -> None:
    """Take waypoints and the like from the objects: no mesh here serves them."""
    ambient = [document for document in contents.documents if is_ambient_gateway(document)]
    reason = "it is a proxy of the ambient mode, and the meshes here have sidecars"
    contents.unserved += [
        Unserved(document.at, name_object(document), reason, document) for document in ambient
    ]
    contents.documents = [document for document in contents.documents if document not in ambient]


def _take_pod_makers(contents: Contents) -> list[Document]:
    """Return objects of other kinds that have pods (a Rollout), which are not left out then."""
    pod_makers = [document for document in contents.others if makes_pods(document)]
    places = {document.at for document in pod_makers}
    contents.left_out = [entry for entry in contents.left_out if entry.at not in places]
    return pod_makers


def _remove_foreign_ingresses(contents: Contents) -> list[Document]:
    """Return the objects without the Ingresses of other controllers, which are left out."""
    classes = ingress.find_istio_classes(contents.documents)
    own_documents = []
    for document in contents.documents:
        if document.kind == "Ingress" and not ingress.handles(document, classes):
            what = "Ingress of another controller"
            contents.left_out.append(LeftOut(document.at, Reason.NO_EFFECT, what))
        else:
            own_documents.append(document)
    return own_documents


def _check_objects(
    objects: RuleObjects,
    contents: Contents,
    are_live: bool,
    inventory: Inventory,
    *,
    keeps_undefined: bool,
) -> UserRules:
    """Return the rules that can be checked; exclude the others until no error is left.

    Raises BadRules where nothing could be read, and for an error that no object can be blamed for.
    """
    while objects.has_routes or not objects.excluded:
        unread = (*inventory.unread, *objects.list_unread())
        case_builder = _CaseBuilder(
            replace(
                inventory,
                unread=unread,
                operators=(*inventory.operators, *list_operators(contents)),
            ),
            are_live=are_live,
            is_all_read=not (are_live or unread or contents.variants),
            keeps_undefined=keeps_undefined,
        )
        try:
            return case_builder.build(objects.documents)
        except _RefusedRules as refused:
            _exclude_causes(refused.errors, objects, contents)
        except BadRules as error:
            _exclude_causes([error], objects, contents)
    if contents.is_empty and not are_live:
        raise BadRules("\n".join(map(str, contents.problems)))
    return UserRules(RuleSet(), Plan((), ()), KnownHosts())


def _exclude_causes(errors: Sequence[BadRules], objects: RuleObjects, contents: Contents) -> None:
    """Exclude the objects that cause errors. Raises BadRules where none can be blamed."""
    if any(isinstance(error, _NoRules) for error in errors):
        lines = [*errors, *objects.excluded, *_describe_read(contents)]
        raise BadRules("\n".join(map(str, lines)))
    if not objects.exclude_causes_of(errors):
        raise BadRules("\n".join(map(str, [*errors, *objects.excluded])))


def _describe_read(contents: Contents) -> Iterator[str]:
    """Yield what was read where there are no rules: what was rendered, and what was left out."""
    yield from (f"rendered: {file}" for file in contents.files.rendered)
    if contents.left_out:
        yield f"left out: {', '.join(summarize_left_out(contents.left_out))}"


class _NoRules(BadRules):
    """There is no rule at all."""


class _RefusedRules(Exception):
    """Rules with problems, each with its place."""

    def __init__(self, errors: Sequence[BadRules]) -> None:
        super().__init__(*map(str, errors))
        self.errors = errors


@dataclass(frozen=True)
class _CaseBuilder:
    """Reads the rules among documents, and derives their cases.

    `are_live`: they are of a cluster. `is_all_read`: nothing that they stand on is elsewhere, as
    far as is known. `keeps_undefined`: requests to an undefined subset end there in any case, and
    rules from which no case follows are no error.
    """

    inventory: Inventory
    are_live: bool
    is_all_read: bool
    keeps_undefined: bool

    def build(self, documents: Sequence[Document]) -> UserRules:
        """Return rules, known hosts and cases.

        Raises BadRules with file and line, or _RefusedRules; of live rules also for hosts without
        a Service.
        """
        known_documents = [*documents, *self.inventory.documents]
        rule_set = self._read_rules(documents, known_documents)
        known_hosts = read_known_hosts(
            known_documents,
            rule_set,
            self.inventory.unread,
            (_UNREAD_LIVE,) if self.are_live else (),
        )
        if self.are_live:
            check_hosts(rule_set, known_hosts)
        plan = _derive_plan(rule_set, known_hosts, may_be_empty=self.keeps_undefined)
        return UserRules(
            rule_set,
            plan,
            known_hosts,
            tuple(gaps.find_unproven_fields(documents, _list_shown_keys(plan))),
            documents=tuple(documents),
        )

    def _read_rules(
        self, documents: Sequence[Document], known_documents: Sequence[Document]
    ) -> RuleSet:
        """Return the rules of documents, with the Sidecars of all that is known."""
        rule_documents = [document for document in documents if _is_rule(document)]
        for document in documents:
            if not _is_rule(document):
                judge_options.read_options(document)  # an option there holds for nothing
        rule_set = rules.collect_rules(
            rule_documents,
            read_selectors(document for document in documents if document.kind == "Service"),
            ingress.find_istio_classes(documents),
            read_namespace_labels(known_documents),
            read_gateway_pods([*known_documents, *self.inventory.operators]),
        )
        problems = [problem for problem in rule_set.problems if not self._is_dead_end(problem)]
        if problems:
            raise _RefusedRules(problems)
        rule_set = replace(rule_set, problems=())
        try:
            rules.check_complete(rule_set)
        except BadRules as error:
            raise _NoRules(str(error)) from None
        return replace(rule_set, sidecars=read_valid_sidecars(known_documents))

    def _is_dead_end(self, problem: BadRules) -> bool:
        """Say whether a problem is a subset at which requests end; else it may be elsewhere."""
        if not isinstance(problem, UndefinedSubset):
            return False
        return self.keeps_undefined or (problem.has_rule and self.is_all_read)


def _derive_plan(rule_set: RuleSet, known_hosts: KnownHosts, *, may_be_empty: bool) -> Plan:
    """Return the cases of rules. Raises BadRules as `derive.derive` does."""
    plan = derive.derive(
        rule_set,
        known_hosts.http_ports,
        known_hosts.world.list_lone_namespaces(),
        known_hosts.select_absent(host for table in rule_set.tables for host in table.hosts),
        may_be_empty=may_be_empty,
    )
    plan = mark_dead_ends(plan, known_hosts, rule_set)
    workloads = Workloads(plan_echo_workloads(rule_set, known_hosts))
    return judge_splits_once(merge_twins(plan, workloads), workloads)


def date_rules(user_rules: UserRules, rule_set: RuleSet) -> UserRules:
    """Return the rules with other ages of their objects, and the cases that follow from these."""
    plan = _derive_plan(rule_set, user_rules.known_hosts, may_be_empty=True)
    return replace(user_rules, rules=rule_set, plan=plan)


def _list_shown_keys(plan: Plan) -> set[At]:
    """Return where the keys stand of which a case shows that they keep requests on one pod."""
    keys = (case.pod_key for case in plan.cases if case.pod_key is not None)
    return {key.pod_hash.at for key in keys if key.pod_hash.at is not None}


def _is_of_mesh(document: Document) -> bool:
    """Say whether an object has a part in routing, served or not, or is none that there is."""
    try:
        return find_role(document.group, document.kind) is not Role.NO_EFFECT
    except BadRules:
        return True


def _is_rule(document: Document) -> bool:
    """Say whether an object routes, and is no part of what rules stand on."""
    role = find_role(document.group, document.kind)
    return role is not Role.INVENTORY and not makes_pods(document)
