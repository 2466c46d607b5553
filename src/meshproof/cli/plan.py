"""`meshproof plan`: the cases that follow from rule files and what they cover, without a mesh."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshproof.base import errors
from meshproof.base.errors import UsageError, plural

if TYPE_CHECKING:
    from meshproof.documents.manifest import At
    from meshproof.mesh.echo.workloads import Workloads
    from meshproof.oracle.derive import Case, Coverage
    from meshproof.rules.judge_options import Options
    from meshproof.rules.model import Route
    from meshproof.user_rules.loading import UserRules
    from meshproof.verdict import Settings

DESCRIPTION = (
    "Lists the cases that `meshproof test --rules` would send: for each rule and route, with file "
    "and line, the requests that follow from it, how many will be sent, and the routes that no "
    "request reaches. PATH is a file, a folder (all of its *.yaml and *.yml), - for standard "
    "input, or a live namespace: cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]."
)
EPILOG = "It ends with 1 where fewer routes are reached than --fail-under says."
#: The chance of a false alarm in a run, as `meshproof test` has it.
_ALPHA = 1e-4


@dataclass(frozen=True)
class Cost:
    """Requests of a case: expected while it is kept, and at most; the limits it is judged by."""

    expected: int
    most: int
    limits: tuple[str, ...] = ()
    stored: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.expected + other.expected, self.most + other.most)

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
        help="end with 1 when requests reach fewer of the routes (0 to 100)",
    )
    add(
        "--profile",
        choices=["gate", "nightly"],
        default="gate",
        help="of the judge (default: gate)",
    )


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code. Raises UsageError for unusable options."""
    if not options.paths:
        raise UsageError("plan: no PATH given, e.g. `meshproof plan rules/`")
    if not 0 <= options.fail_under <= 100:
        raise UsageError(f"plan: --fail-under {options.fail_under:g}: expected 0 to 100")
    from meshproof.user_rules import loading

    found = loading.load(options.paths)
    costs = _costs(found, options.profile)
    if options.output == "json":
        text = json.dumps(_json(found, costs), indent=1)
    else:
        text = "\n".join(_lines(found, costs))
    sys.stdout.write(f"{text}\n")
    share = found.plan.coverage_share * 100
    if share < options.fail_under:
        sys.stderr.write(
            f"meshproof: {share:.4g} % of the routes are reached, less than "
            f"--fail-under {options.fail_under:g}\n"
        )
        return errors.EXIT_FAILED
    return errors.EXIT_PASSED


def _costs(found: UserRules, profile: str) -> dict[str, Cost]:
    """Return the requests of each case by its id. A split costs what its judge needs."""
    from meshproof.plugin.settings import of_rules
    from meshproof.verdict import PROFILES, share_alpha

    splits = sum(case.needs_judge for case in found.plan.cases)
    alpha, independence = share_alpha(_ALPHA, max(1, splits))
    settings = replace(PROFILES[profile], alpha=alpha, alpha_independence=independence)
    known: dict[tuple[tuple[float, ...], Options], Cost] = {}
    costs: dict[str, Cost] = {}
    for case in found.plan.cases:
        if not case.needs_judge:
            costs[case.id] = _cost(case, found.workloads)
            continue
        key = case.outcome_shares, case.options
        if key not in known:
            known[key] = _judged(case.outcome_shares, of_rules(settings, [case.options]))
        costs[case.id] = known[key]
    return costs


def _cost(case: Case, workloads: Workloads) -> Cost:
    """Return the requests of a case that is not judged."""
    often = workloads.visits(case)
    most = max((one.max_requests for one in workloads.hiding(case)), default=often)
    return Cost(often, often * math.ceil(most / often))


def _judged(shares: tuple[float, ...], settings: Settings) -> Cost:
    from meshproof.verdict import limits, plan

    judged = plan({str(number): share for number, share in enumerate(shares)}, settings)
    given = judged.kind, judged.expected, settings
    return Cost(
        round(judged.scenarios[0].mean),
        judged.limit,
        tuple(limits.describe_limits(*given)),
        limits.to_json_values(*given),
    )


def _lines(found: UserRules, costs: dict[str, Cost]) -> Iterator[str]:
    for number, coverage in enumerate(found.plan.coverage):
        table = coverage.table
        yield f"{table.name} ({', '.join(table.hosts)}), {table.at}"
        own_cases = [case for case in found.plan.cases if case.table_index == number]
        for index, route in enumerate(table.routes):
            yield f"  {_name(index, route)}, {route.at}"
            reached = [case for case in own_cases if case.route_index == index]
            yield from _case_lines(reached, costs)
            if not reached:
                yield f"    not reached: {_reason(coverage, index)}"
        rest = [case for case in own_cases if case.route_index is None]
        if rest:
            yield "  no route"
        yield from _case_lines(rest, costs)
        yield ""
    yield from _summary(found, costs)


def _case_lines(cases: list[Case], costs: dict[str, Cost]) -> Iterator[str]:
    for case in cases:
        yield f"    {case.id}"
        yield f"      {costs[case.id]}, {case.at}"
        if costs[case.id].limits:
            yield f"      judged with {'; '.join(costs[case.id].limits)}"
        for words in case.answer.unproven:
            yield f"      not proven: {words}"


def _name(index: int, route: Route) -> str:
    return f"route {index + 1} '{route.name}'" if route.name else f"route {index + 1}"


def _reason(coverage: Coverage, index: int) -> str:
    """Return why no case reaches a route: by default, rules at other places have its cases."""
    return dict(coverage.unreached).get(index, "another rule has the same requests")


def _summary(found: UserRules, costs: dict[str, Cost]) -> Iterator[str]:
    cases = found.plan.cases
    splits = sum(case.needs_judge for case in cases)
    total = sum(costs.values(), Cost(0, 0))
    judged = f", of which {plural(splits, 'split')} to be judged" if splits else ""
    yield f"{plural(len(cases), 'case')}{judged}: {total}"
    routes = sum(len(one.table.routes) for one in found.plan.coverage)
    reached = sum(len(one.reached) for one in found.plan.coverage)
    yield f"{reached} of {plural(routes, 'route')} reached ({found.plan.coverage_share * 100:.4g} %)"
    for coverage in found.plan.coverage:
        if coverage.unchecked_pairs:
            pairs = plural(coverage.unchecked_pairs, "pair")
            yield (
                f"{coverage.table.at}: not proven: the order of {pairs} of routes of "
                f"{coverage.table.name} for requests that both match"
            )
        for index, reason in coverage.unreached:
            route = coverage.table.routes[index]
            name = f"{_name(index, route)} of {coverage.table.name}"
            yield f"{route.at}: {name} is not reached: {reason}"
    yield from map(str, (*found.unproven, *found.excluded))


def _json(found: UserRules, costs: dict[str, Cost]) -> dict[str, Any]:
    total = sum(costs.values(), Cost(0, 0))
    return {
        "cases": [_case(case, found, costs) for case in found.plan.cases],
        "routes": [_route(coverage) for coverage in found.plan.coverage],
        "coverage": found.plan.coverage_share,
        "requests": _requests(total),
        "not_proven": [
            {**_at(field.at), "path": field.path, "because": field.reason} for field in found.unproven
        ],
        "not_checked": [
            {**_at(one.at), "object": one.name, "because": one.because} for one in found.excluded
        ],
    }


def _case(case: Case, found: UserRules, costs: dict[str, Cost]) -> dict[str, Any]:
    request = found.build_request(case)
    return {
        "id": case.id,
        "title": case.title,
        **_at(case.at),
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
            {"host": one.host, "labels": dict(one.labels), "share": share}
            for one, share in case.shares
        ],
        "answer": _answer(case),
        "requests": _requests(costs[case.id]),
        **({"limits": costs[case.id].stored} if case.needs_judge else {}),
    }


def _requests(cost: Cost) -> dict[str, int]:
    return {"expected": cost.expected, "most": cost.most}


def _answer(case: Case) -> dict[str, Any]:
    """Return what is looked at beside who answers; what is not looked at is left out."""
    answer = case.answer
    found: dict[str, Any] = {}
    if answer.proxy_reply:
        reply = answer.proxy_reply
        found["replied"] = answer.proxy_reply_share
        found["reply"] = {"status": reply.status, "location": reply.location, "body": reply.body}
    if answer.arrivals:
        found["arrivals"] = [
            {
                "path": one.path,
                "authority": one.authority,
                "request_headers": dict(one.request_headers),
                "response_headers": dict(one.response_headers),
            }
            for one in answer.arrivals
        ]
    if answer.mirrors:
        found["mirrors"] = [
            {"host": one.host, "labels": dict(one.labels), "share": share}
            for one, share in answer.mirrors
        ]
    if answer.delayed_share:
        found["delayed"] = {"share": answer.delayed_share, "seconds": answer.extra_seconds}
    plain = {"least_seconds": answer.min_seconds, "not_proven": list(answer.unproven)}
    return found | {key: value for key, value in plain.items() if value}


def _route(coverage: Coverage) -> dict[str, Any]:
    reasons = dict(coverage.unreached)
    return {
        "name": coverage.table.name,
        "hosts": list(coverage.table.hosts),
        **_at(coverage.table.at),
        "unordered_pairs": coverage.unchecked_pairs,
        "routes": [
            {
                "name": route.name,
                **_at(route.at),
                "reached": index in coverage.reached,
                "reason": reasons.get(index, ""),
            }
            for index, route in enumerate(coverage.table.routes)
        ],
    }


def _at(at: At) -> dict[str, Any]:
    return {"file": at.file, "line": at.line, "column": at.column}
