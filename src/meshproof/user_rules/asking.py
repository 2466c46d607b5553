"""Asks one request of a user's rules: explained by the oracle, and sent to a real Envoy."""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.oracle.case import Case, describe_header_changes
from meshproof.oracle.case import describe_answer as describe_case_answer
from meshproof.oracle.conditions import list_conditions
from meshproof.oracle.explanation import Explanation
from meshproof.rules.model import Match
from meshproof.user_rules import loading
from meshproof.user_rules.called_url import CalledUrl, build_call

if TYPE_CHECKING:
    from meshproof.mesh.echo.case_mesh import CaseMesh
    from meshproof.user_rules.compare import CaseComparison
    from meshproof.user_rules.loading import UserRules
    from meshproof.verdict import Settings

#: So many requests of a split are sent: enough to see more than one destination.
_SPLIT_REQUESTS = 20
#: The judge needs hundreds of requests: they are sent so many at once, by so many workers.
_JUDGED_BATCH, _WORKERS = 20, 4


@dataclass(frozen=True)
class SentAnswer:
    """What a real Envoy answered, in words, and whether it differs from what was explained."""

    text: str
    differs: bool
    curl: str


def read_called_url(options: argparse.Namespace) -> CalledUrl:
    """Return the request that a command line asks for."""
    return CalledUrl(options.url, options.request, tuple(options.header), options.caller)


def load_rules(options: argparse.Namespace) -> UserRules:
    """Return the rules that a command line names. Raises BadRules as `loading.load` does."""
    reading = loading.read_reading_options(options)
    reading = replace(reading, no_lint=True, keeps_undefined=True)
    return loading.load([options.rules], reading=reading)


def explain_url(called: CalledUrl, user_rules: UserRules) -> Explanation:
    """Return what becomes of a request. Raises UsageError as `build_call` does."""
    call = build_call(called, user_rules)
    explanation = user_rules.explainer.explain(call)
    if explanation is None:
        raise UsageError(f"{called.url}: nothing here serves {call.host_header}:{call.port}")
    return explanation


def list_demands(match: Match | None) -> list[str]:
    """Return the conditions of a match in words."""
    return [condition.text for condition in list_conditions(match)] if match else []


def describe_answer(explanation: Explanation) -> str:
    """Return in words who answers the request."""
    if explanation.case is None:
        return f"it leaves the mesh for {explanation.call.host} as it is"
    host = explanation.call.host
    answer = describe_case_answer(explanation.case, "" if explanation.taken else host)
    return answer if explanation.case.shares else f"answered {answer}"


def list_changes(explanation: Explanation) -> Iterator[str]:
    """Yield in words what becomes of headers, copies, and what is not proven of the answer."""
    case = explanation.case
    if case is None:
        return
    yield from describe_header_changes(case.answer)
    for destination, share in case.answer.mirrors:
        yield f"copied to {destination}: {share * 100:.4g} % of the requests"
    yield from (f"not proven: {part}" for part in case.answer.unproven)


def build_request(explanation: Explanation, user_rules: UserRules) -> HttpRequest:
    """Return the HTTP request of an explained call."""
    case = explanation.case
    return user_rules.build_request(case) if case else HttpRequest(explanation.call.request_target)


@contextlib.contextmanager
def opened_mesh(
    explanation: Explanation, user_rules: UserRules, envoy: str | None
) -> Iterator[tuple[CaseMesh, Case]]:
    """Serve the rules to the caller of a request, by real Envoys, until the context ends.

    Raises UsageError for a request that leaves the mesh, BadRules if an Envoy rejects the rules.
    """
    from meshproof.mesh.protocol import Options, open_rule_mesh

    case = explanation.case
    if case is None:
        raise UsageError(f"{explanation.call.host} is outside the mesh: nothing here serves it")
    cases = [case, *user_rules.plan.cases]
    options = Options(envoy=envoy)
    rules, known_hosts = user_rules.rules, user_rules.known_hosts
    with open_rule_mesh("local", options, rules, cases, known_hosts) as mesh:
        yield mesh, case


def send(explanation: Explanation, user_rules: UserRules, envoy: str | None) -> SentAnswer:
    """Send the request to real Envoys that serve the rules; return what they answered."""
    with opened_mesh(explanation, user_rules, envoy) as (mesh, case):
        return ask_mesh(mesh, case, user_rules)


def ask_mesh(mesh: CaseMesh, case: Case, user_rules: UserRules) -> SentAnswer:
    """Send the request of a case, several times where several destinations share it."""
    from meshproof.user_rules.compare import CaseComparison

    comparison = CaseComparison.for_case(case, mesh)
    count = _SPLIT_REQUESTS if len(comparison.expected_shares) > 1 else 1
    labels = list(itertools.islice(_send_repeatedly(mesh, case, user_rules, comparison), count))
    counts = {label: labels.count(label) for label in dict.fromkeys(labels)}
    text = ", ".join(
        label if count == 1 else f"{label} {number} of {count}" for label, number in counts.items()
    )
    differs = _has_one_answer(case) and any(
        label not in comparison.expected_shares for label in counts
    )
    return SentAnswer(text, differs, _build_curl(mesh, case, user_rules))


def judge_mesh(mesh: CaseMesh, case: Case, user_rules: UserRules, settings: Settings) -> SentAnswer:
    """Send the request of a case until the judge can tell whether its shares are as expected."""
    from meshproof.user_rules.compare import CaseComparison
    from meshproof.verdict import Outcome, judge

    comparison = CaseComparison.for_case(case, mesh)
    if len(comparison.expected_shares) < 2:
        return ask_mesh(mesh, case, user_rules)
    labels = _send_repeatedly(mesh, case, user_rules, comparison, _JUDGED_BATCH)
    shares = comparison.expected_shares
    verdict = judge(labels, shares, settings.with_expected(shares), keeps_labels=False)
    differs = _has_one_answer(case) and verdict.outcome is not Outcome.PASSED
    return SentAnswer(str(verdict), differs, _build_curl(mesh, case, user_rules))


def _has_one_answer(case: Case) -> bool:
    """Say whether a mesh that answers otherwise than a case is wrong."""
    return not (case.dead_ends or case.answer.is_open)


def _send_repeatedly(
    mesh: CaseMesh, case: Case, user_rules: UserRules, comparison: CaseComparison, batch: int = 1
) -> Iterator[str]:
    """Yield in send order who answered the request of a case, or what came in place of it.

    `batch` requests are sent at once, by several workers.
    """
    request, address, sender = (
        user_rules.build_request(case),
        mesh.address(case.call),
        mesh.sender(case),
    )
    while True:
        requests = [request.with_next_number() for _ in range(batch)]
        for response in sender.send(address, requests, min(batch, _WORKERS), keep_alive=True):
            if isinstance(response, HttpResponse):
                yield comparison.label(response) or f"HTTP {response.status}"
            else:
                yield f"no response ({response.reason})"


def _build_curl(mesh: CaseMesh, case: Case, user_rules: UserRules) -> str:
    """Return the command that sends the request of a case."""
    return user_rules.build_request(case).build_curl(mesh.address(case.call))
