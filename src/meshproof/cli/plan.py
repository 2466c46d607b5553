"""`meshproof plan`: lists the cases derived from rule files and their coverage, without a mesh."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshproof.base import errors
from meshproof.base.errors import UsageError, pluralize
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_json, print_message, write
from meshproof.options import command_line, sources
from meshproof.user_rules.causes import explain_dead_end
from meshproof.user_rules.not_proven import (
    list_unchecked_orders,
    list_unreached,
    name_route,
)

if TYPE_CHECKING:
    from meshproof.documents.manifest import At
    from meshproof.mesh.echo.workloads import Workloads
    from meshproof.oracle.derive import Case, Coverage
    from meshproof.rules.judge_options import Options
    from meshproof.run.remark import Remark
    from meshproof.user_rules.loading import UserRules
    from meshproof.verdict import Settings

DESCRIPTION = (
    "Lists the cases that `meshproof test --rules` would send: for each rule and route, with file "
    "and line, the requests that follow from it, how many will be sent, and the routes that no "
    "request reaches. PATH is a file, a folder (all of its *.yaml and *.yml), - for standard "
    "input, or a live namespace: cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]."
)
EPILOG = (
    "It ends with 1 where an object is wrong, a case will fail, lint finds an error, or fewer "
    "routes are reached than --fail-under says, and with 3 where no request reaches some route, or "
    "an object is not supported that --allow-unsupported does not name."
)


@dataclass(frozen=True)
class Cost:
    """Requests that a case costs: expected for a kept promise, and at most; with its limits.

    `json_limits` are the limits as `-o json` has them.
    """

    expected: int
    most: int
    limits: tuple[str, ...] = ()
    json_limits: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __add__(self, cost: Cost) -> Cost:
        return Cost(self.expected + cost.expected, self.most + cost.most)

    def __str__(self) -> str:
        if self.expected == self.most:
            return f"{self.most} requests"
        return f"about {self.expected} requests, at most {self.most}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="rule files, folders, cluster:NAMESPACE")
    add("-o", "--output", choices=["text", "json"], default="text", help="default: text")
    add(
        "--fail-under",
        type=float,
        metavar="PERCENT",
        default=0.0,
        help="end with 1 when requests, or the expectations of an intent, are about fewer of the "
        "routes (0 to 100)",
    )
    command_line.add_options(parser, "plan")


def run(options: argparse.Namespace) -> int:
    """Print the cases of the rules and what they cost; return the exit code (see EPILOG).

    Raises UsageError for unusable options, BadRules for rules that cannot be read.
    """
    sources.fill_in("plan", options)
    if not options.paths:
        raise UsageError("plan: no PATH given, e.g. `meshproof plan rules/`")
    if not 0 <= options.fail_under <= 100:
        raise UsageError(f"plan: --fail-under {options.fail_under:g}: expected 0 to 100")
    from meshproof.user_rules import loading

    reading = loading.read_reading_options(options)
    if options.each_variant:
        turns = loading.load_each_variant(options.paths, reading=reading)
    else:
        turns = [loading.load(options.paths, reading=reading)]
    costs = [_estimate_costs(user_rules, options) for user_rules in turns]
    if options.output == "json":
        plans = [_plan_to_json(*turn) for turn in zip(turns, costs, strict=True)]
        print_json({"variants": plans} if options.each_variant else plans[0])
    for turn in zip(turns, costs, strict=True) if options.output == "text" else ():
        write("".join(f"{escape_line(line)}\n" for line in _render_text(*turn)))
    return errors.choose_exit_code(
        code for user_rules in turns for code in _list_codes(user_rules, options.fail_under)
    )


def _list_codes(user_rules: UserRules, fail_under: float) -> Iterator[int]:
    """Yield the exit codes of all that holds of some rules; print why."""
    yield errors.EXIT_PASSED
    yield from (excluded.exit_code for excluded in user_rules.excluded)
    yield from (errors.EXIT_FAILED for _ in user_rules.lint_errors)
    prefix = f"meshproof: {user_rules.variant}: " if user_rules.variant else "meshproof: "
    if user_rules.excluded:
        print_message(f"{prefix}{_summarize_excluded(user_rules)}")
    failing = [case for case in user_rules.plan.cases if case.dead_ends]
    if failing:
        print_message(f"{prefix}{pluralize(len(failing), 'case')} will fail")
        yield errors.EXIT_FAILED
    share = user_rules.plan.coverage_share * 100
    if share < fail_under:
        print_message(
            f"{prefix}{share:.4g} % of the routes are reached, less than "
            f"--fail-under {fail_under:g}"
        )
        yield errors.EXIT_FAILED
    if user_rules.intent_share is not None and user_rules.intent_share * 100 < fail_under:
        print_message(
            f"{prefix}an expectation is about {user_rules.intent_share * 100:.4g} % of the routes, "
            f"less than --fail-under {fail_under:g}"
        )
        yield errors.EXIT_FAILED
    if any(coverage.unreached for coverage in user_rules.plan.coverage):
        yield errors.EXIT_INCONCLUSIVE


def _summarize_excluded(user_rules: UserRules) -> str:
    """Return how many objects the rules have that are not checked, in words."""
    wrong = sum(excluded.is_failed for excluded in user_rules.excluded)
    allowed = sum(excluded.is_allowed for excluded in user_rules.excluded)
    counts = (
        (wrong, "wrong"),
        (len(user_rules.excluded) - wrong - allowed, "not supported"),
        (allowed, "not supported and allowed"),
    )
    parts = [f"{pluralize(count, 'object')} {what}" for count, what in counts if count]
    return f"not checked: {', '.join(parts)}"


def _estimate_costs(user_rules: UserRules, options: argparse.Namespace) -> dict[str, Cost]:
    """Return the cost of each case by its id; a split costs what the judge needs."""
    from meshproof.plugin.settings import apply_rule_options, apply_run_options
    from meshproof.verdict import PROFILES

    splits = sum(case.needs_judge for case in user_rules.plan.cases)
    settings = PROFILES[options.profile].with_run_alpha(options.alpha, max(1, splits))
    labels = options.labels
    settings = apply_run_options(settings, options, lambda name: labels.get(name, name))
    judged_costs: dict[tuple[tuple[float, ...], Options, bool], Cost] = {}
    costs: dict[str, Cost] = {}
    for case in user_rules.plan.cases:
        if case.answer.is_open:
            costs[case.id] = Cost(0, 0)
            continue
        if not case.needs_judge:
            costs[case.id] = _estimate_unjudged_cost(case, user_rules.workloads)
            continue
        key = case.outcome_shares, case.options, case.repeats_split
        if key not in judged_costs:
            limits = apply_rule_options(settings, [case.options])
            judged_costs[key] = _estimate_judged_cost(
                case.outcome_shares, limits, follows_weights=not case.repeats_split
            )
        costs[case.id] = judged_costs[key]
    return costs


def _estimate_unjudged_cost(case: Case, workloads: Workloads) -> Cost:
    """Return the cost of a case without a statistical verdict."""
    visits = workloads.count_visits(case)
    max_visits = max(
        (ambiguity.max_requests for ambiguity in workloads.find_ambiguities(case)), default=visits
    )
    return Cost(visits, visits * math.ceil(max_visits / visits))


def _estimate_judged_cost(
    shares: tuple[float, ...], settings: Settings, *, follows_weights: bool
) -> Cost:
    """Return the cost of judging a split with these shares."""
    from meshproof.verdict import limits, plan

    weights = {str(number): share for number, share in enumerate(shares)}
    settings = settings.with_expected(weights) if follows_weights else settings
    check_plan = plan(weights, settings)
    limit_inputs = check_plan.kind, check_plan.expected, settings
    return Cost(
        round(check_plan.scenarios[0].mean),
        check_plan.limit,
        tuple(limits.describe_limits(*limit_inputs)),
        limits.to_json_values(*limit_inputs),
    )


def _render_text(user_rules: UserRules, costs: dict[str, Cost]) -> Iterator[str]:
    """Yield the lines of the report: the world, each route table with its cases, a summary."""
    yield from [user_rules.variant, ""] if user_rules.variant else []
    yield from user_rules.world_notes
    yield from [""] if user_rules.world_notes else []
    for number, coverage in enumerate(user_rules.plan.coverage):
        table = coverage.table
        yield f"{table.name} ({', '.join(table.hosts)}), {table.at}"
        table_cases = [case for case in user_rules.plan.cases if case.table_index == number]
        for index, route in enumerate(table.routes):
            yield f"  {name_route(index, route)}, {route.at}"
            for warning in user_rules.route_warnings.get((number, index), ()):
                yield f"    lint {warning}"
            route_cases = [case for case in table_cases if case.route_index == index]
            yield from _render_cases(route_cases, costs)
            if not route_cases:
                yield f"    unreached: {_explain_unreached(coverage, index)}"
        unrouted_cases = [case for case in table_cases if case.route_index is None]
        if unrouted_cases:
            yield "  no route"
        yield from _render_cases(unrouted_cases, costs)
        yield ""
    yield from _render_summary(user_rules, costs)


def _render_cases(cases: list[Case], costs: dict[str, Cost]) -> Iterator[str]:
    """Yield the lines of cases: id, cost, limits and what they leave unproven."""
    for case in cases:
        yield f"    {case.id}"
        yield f"      {costs[case.id]}, {case.at}"
        if costs[case.id].limits:
            yield f"      judged with {'; '.join(costs[case.id].limits)}"
        for dead_end in case.dead_ends:
            cause = explain_dead_end(dead_end)
            yield f"      will fail: {cause.what} ({cause.detail}), {cause.place}"
        for gap in case.answer.unproven:
            yield f"      not proven: {gap}"


def _explain_unreached(coverage: Coverage, index: int) -> str:
    """Return why no case reaches a route; by default another rule has the same requests."""
    return dict(coverage.unreached).get(index, "another rule has the same requests")


def _render_summary(user_rules: UserRules, costs: dict[str, Cost]) -> Iterator[str]:
    """Yield the totals, then everything that is not proven or not reached."""
    yield from (*map(str, user_rules.lint_errors), *user_rules.lint_notes)
    cases = user_rules.plan.cases
    splits = sum(case.needs_judge for case in cases)
    total = sum(costs.values(), Cost(0, 0))
    judged_splits = f", of which {pluralize(splits, 'split')} to be judged" if splits else ""
    yield f"{pluralize(len(cases), 'case')}{judged_splits}: {total}"
    route_count = sum(len(coverage.table.routes) for coverage in user_rules.plan.coverage)
    reached_count = sum(len(coverage.reached) for coverage in user_rules.plan.coverage)
    percent = user_rules.plan.coverage_share * 100
    yield f"{reached_count} of {pluralize(route_count, 'route')} reached ({percent:.4g} %)"
    yield from list_unchecked_orders(user_rules)
    yield from map(str, list_unreached(user_rules))
    yield from map(str, (*user_rules.unproven, *user_rules.excluded))
    yield from user_rules.notes


def _plan_to_json(user_rules: UserRules, costs: dict[str, Cost]) -> dict[str, Any]:
    """Return the JSON value of the whole plan."""
    total = sum(costs.values(), Cost(0, 0))
    return {
        **({"variant": user_rules.variant} if user_rules.variant else {}),
        "cases": [_case_to_json(case, user_rules, costs) for case in user_rules.plan.cases],
        "routes": [
            _table_to_json(number, coverage, user_rules.route_warnings)
            for number, coverage in enumerate(user_rules.plan.coverage)
        ],
        "coverage": user_rules.plan.coverage_share,
        "requests": _cost_to_json(total),
        "world": list(user_rules.world_notes),
        "not_proven": [
            {**_position_to_json(field.at), "path": field.path, "because": field.reason}
            for field in user_rules.unproven
        ],
        "not_checked": [
            {**_position_to_json(excluded.at), "object": excluded.name, "because": excluded.because}
            for excluded in user_rules.excluded
        ],
        "notes": list(user_rules.notes),
        "lint_errors": [
            {**_position_to_json(error.at), "code": error.cause.code, "because": error.cause.what}
            for error in user_rules.lint_errors
        ],
    }


def _case_to_json(case: Case, user_rules: UserRules, costs: dict[str, Cost]) -> dict[str, Any]:
    """Return the JSON value of a case: request, expected answer and cost."""
    request = user_rules.build_request(case)
    return {
        "id": case.id,
        "title": case.title,
        **_position_to_json(case.at),
        "table": str(case.table_at),
        "route": case.route_index,
        "request": {
            "method": request.method,
            "path": request.path,
            "headers": dict(request.headers),
            "gateway": case.call.gateway,
            "port": case.call.port,
            "source": dict(case.call.source),
        },
        "status": case.status,
        "shares": [
            {"host": destination.host, "labels": dict(destination.labels), "share": share}
            for destination, share in case.shares
        ],
        "answer": _answer_to_json(case),
        "dead_ends": [explain_dead_end(dead_end).what for dead_end in case.dead_ends],
        "requests": _cost_to_json(costs[case.id]),
        **({"limits": costs[case.id].json_limits} if case.needs_judge else {}),
    }


def _cost_to_json(cost: Cost) -> dict[str, int]:
    """Return the JSON value of a cost."""
    return {"expected": cost.expected, "most": cost.most}


def _answer_to_json(case: Case) -> dict[str, Any]:
    """Return the JSON value of the expected answer, without the parts that nobody checks."""
    answer = case.answer
    values: dict[str, Any] = {}
    if answer.proxy_reply:
        reply = answer.proxy_reply
        values["replied"] = answer.proxy_reply_share
        values["reply"] = {"status": reply.status, "location": reply.location, "body": reply.body}
    if answer.arrivals:
        values["arrivals"] = [
            {
                "path": arrival.path,
                "authority": arrival.authority,
                "request_headers": dict(arrival.request_headers),
                "response_headers": dict(arrival.response_headers),
            }
            for arrival in answer.arrivals
        ]
    if answer.mirrors:
        values["mirrors"] = [
            {"host": destination.host, "labels": dict(destination.labels), "share": share}
            for destination, share in answer.mirrors
        ]
    if answer.delayed_share:
        values["delayed"] = {"share": answer.delayed_share, "seconds": answer.extra_seconds}
    further_values = {"least_seconds": answer.min_seconds, "not_proven": list(answer.unproven)}
    return values | {key: value for key, value in further_values.items() if value}


def _table_to_json(
    number: int,
    coverage: Coverage,
    route_warnings: Mapping[tuple[int, int | None], tuple[Remark, ...]],
) -> dict[str, Any]:
    """Return the JSON value of a route table and the coverage of its routes."""
    reasons = dict(coverage.unreached)
    return {
        "name": coverage.table.name,
        "hosts": list(coverage.table.hosts),
        **_position_to_json(coverage.table.at),
        "unordered_pairs": coverage.unchecked_pairs,
        "routes": [
            {
                "name": route.name,
                **_position_to_json(route.at),
                "reached": index in coverage.reached,
                "reason": reasons.get(index, ""),
                "lint": list(map(str, route_warnings.get((number, index), ()))),
            }
            for index, route in enumerate(coverage.table.routes)
        ],
    }


def _position_to_json(at: At) -> dict[str, Any]:
    """Return file, line and column as a JSON value."""
    return {"file": at.file, "line": at.line, "column": at.column}
