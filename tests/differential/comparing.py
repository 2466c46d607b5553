"""Serves one set of rules on both meshes; lists their differences, and those of the oracle."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from meshproof.base.errors import BadRules
from meshproof.base.names import MESH
from meshproof.mesh.echo.workloads import OverlappingShares
from meshproof.mesh.http import HttpResponse
from meshproof.oracle import sidecars
from meshproof.oracle.dead_ends import DeadEnd, DeadEndKind
from meshproof.oracle.derive import Call, Case
from meshproof.user_rules import loading
from meshproof.user_rules.compare import CaseComparison
from meshproof.user_rules.loading import UserRules
from meshproof.verdict.two_samples import differs
from tests.differential.asking import NO_CONNECTION, Answer, Asked, Asker
from tests.differential.generator import GeneratedSet, Spec
from tests.differential.meshes import MARKERS, WORKLOADS, IstiodSide, Pair, Side
from tests.differential.world import CALLERS, ENTRY, OUTSIDE, SERVICES, describe_world

#: What a message has of the set that it is about.
_PARTICULARS = re.compile(
    r"\S*\.yaml:\d+(:\d+)?:?|'[^']*'|\"[^\"]*\"|\b(?:[a-z]+/)?(?:s\d+-)?[a-z]-rule\b|\d+"
)

_ERROR_STATUS = 500
#: How often a request is asked when a field is taken away: at first, and to rule chance out.
_TRIAL_REQUESTS, _SURE_REQUESTS = 2, 40
#: The chance that equal answers are taken for changed ones there, and how many requests are asked.
_TRIAL_ALPHA, _MAX_SUSPECTS = 1e-6, 3
#: What a request to a port gets on which nobody listens.
_NO_LISTENER = Answer((("status", "none: nobody listens"),))
Answers = dict[Call, Counter[Answer]]


@dataclass(frozen=True)
class Difference:
    """One difference: its kind, in words, the request of it, and what each side answered."""

    kind: str
    call: Call | None
    local: str
    istiod: str
    oracle: str = ""


@dataclass
class Comparison:
    """What comparing one set gave.

    `unserved` is why local does not support it, by name; `refused` is why both refuse it.
    """

    differences: list[Difference] = field(default_factory=list)
    unserved: str = ""
    refused: str = ""
    is_served: bool = False
    judged_cases: int = 0


@dataclass(frozen=True)
class _Loaded:
    """A set as a run reads it: its rules, and why they are an error or beyond us."""

    rules: UserRules | None = None
    refusal: str = ""
    unserved: str = ""


class Comparer:
    """Compares sets of rules on two meshes that stay up."""

    def __init__(self, pair: Pair) -> None:
        self._local, self._istiod = pair.sides
        self._is_upgrade = isinstance(pair.local, IstiodSide)
        self._asker = Asker(pair)
        self._number = 0
        self._before: tuple[GeneratedSet, Answers] | None = None

    def close(self) -> None:
        """Close all connections."""
        self._asker.close()

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self._asker.requests

    def compare(self, generated: GeneratedSet, asks_cases: bool = True) -> Comparison:
        """Serve a set on both meshes; return what differs. Without cases only its own calls."""
        text = self._write(generated)
        loaded = _load(text)
        if loaded.unserved:
            return Comparison(unserved=loaded.unserved)
        if self._is_upgrade and loaded.rules is None:
            return Comparison(unserved=normalise(loaded.refusal))
        refusal = "" if self._is_upgrade else loaded.refusal
        local = refusal or self._apply(self._local, loaded.rules, text)
        istiod = self._apply(self._istiod, loaded.rules, text)
        if local or istiod:
            comparison = Comparison(refused=normalise(local) if local and istiod else "")
            if not comparison.refused:
                name = (self._local if local else self._istiod).name
                kind = f"refused by {name} alone: "
                kind += normalise(local or istiod)
                comparison.differences.append(Difference(kind, None, local, istiod))
            return comparison
        assert loaded.rules is not None
        comparison = self._ask(generated, loaded.rules, asks_cases)
        comparison.differences += self._compare_splits()
        return comparison

    def changes_answer(self, generated: GeneratedSet, smaller: GeneratedSet) -> bool | None:
        """Say whether both meshes answer a set otherwise than a smaller one.

        None if the smaller one is refused. The local mesh alone shows which requests to ask more.
        """
        before = self._ask_before(generated)
        if not before:  # the set itself is refused
            return False
        after = self._ask_side(self._local, smaller, list(before), _TRIAL_REQUESTS)
        if after is None:
            return None
        changed = [call for call in before if before[call].keys() != after[call].keys()]
        changed.sort(key=lambda call: len(before[call].keys() & after[call].keys()))
        suspects = changed[:_MAX_SUSPECTS]
        for side in (self._local, self._istiod):
            suspects = self._list_changed(side, generated, smaller, suspects)
        return bool(suspects)

    def _list_changed(
        self, side: Side, generated: GeneratedSet, smaller: GeneratedSet, calls: Sequence[Call]
    ) -> list[Call]:
        """Return the calls that a mesh answers otherwise under a smaller set, beyond chance."""
        if not calls:
            return []
        after = self._ask_side(side, smaller, calls, _SURE_REQUESTS)
        before = self._ask_side(side, generated, calls, _SURE_REQUESTS)
        if before is None or after is None:
            return []
        return [call for call in calls if differs(before[call], after[call], _TRIAL_ALPHA)]

    def _ask_before(self, generated: GeneratedSet) -> Answers:
        """Return what the local mesh answers to a set, and to the cases of its rules."""
        if self._before is None or self._before[0] is not generated:
            loaded = _load(self._write(generated))
            calls = list(generated.calls)
            if loaded.rules and not loaded.refusal:
                calls += map(_build_call, filter(_is_askable, loaded.rules.plan.cases))
            calls = list(dict.fromkeys(calls))
            answers = self._ask_side(self._local, generated, calls, _TRIAL_REQUESTS)
            self._before = generated, answers or {}
        return self._before[1]

    def _ask_side(
        self, side: Side, generated: GeneratedSet, calls: Sequence[Call], count: int
    ) -> Answers | None:
        """Return what a mesh answers under a set; None if it is refused."""
        text = self._write(generated)
        loaded = _load(text)
        if loaded.refusal or loaded.unserved or self._apply(side, loaded.rules, text):
            return None
        asked = [Asked(call) for call in calls if side.find_address(call) is not None]
        self._asker.ask_side(side, asked, count, *_find_effects(generated))
        answers = {call: Counter({_NO_LISTENER: count}) for call in calls}
        return answers | {question.call: question.answers[side.name] for question in asked}

    def _write(self, generated: GeneratedSet) -> str:
        """Return the YAML of a set; istiod has never seen one of its names."""
        self._number += 1
        return write_objects(generated.objects, f"s{self._number}-")

    def _apply(self, side: Side, rules: UserRules | None, text: str) -> str:
        """Serve the rules on a mesh; return why it refuses them, "" if it does not."""
        self._asker.forget_connections()
        try:
            side.apply(rules, text)
        except BadRules as error:
            return str(error)
        return ""

    def _ask(self, generated: GeneratedSet, rules: UserRules, asks_cases: bool) -> Comparison:
        """Ask both meshes; return the differences between them, and those of the oracle's cases."""
        comparison = Comparison(is_served=True)
        cases = [
            case
            for case in (rules.plan.cases if asks_cases else ())
            if _is_askable(case) and _is_taken(rules, case.call)
        ]
        dead_routes = {(case.table_index, case.route_index) for case in cases if case.dead_ends}
        case_calls = [
            (case, _build_call(case))
            for case in cases
            if case.dead_ends or (case.table_index, case.route_index) not in dead_routes
        ]
        own_calls = (call for call in generated.calls if _is_taken(rules, call))
        calls = dict.fromkeys((*own_calls, *(call for _, call in case_calls)))
        by_call = {
            question.call: question
            for question in self._asker.ask(calls, *_find_effects(generated))
        }
        for question in by_call.values():
            if question.is_different:
                own_cases = [case for case, call in case_calls if call == question.call]
                comparison.differences.append(_describe(question, own_cases))
        for case, call in case_calls:
            asked = by_call.get(call)
            if asked is not None and not asked.is_different:
                comparison.judged_cases += 1
                comparison.differences += _find_oracle_faults(case, asked)
        return comparison

    def _compare_splits(self) -> Iterator[Difference]:
        """Yield the difference between the weights that the proxies of one caller have."""
        for local, istiod in zip(
            self._local.read_splits(), self._istiod.read_splits(), strict=True
        ):
            if local != istiod:
                own, others = sorted(local - istiod), sorted(istiod - local)
                yield Difference("weights", None, f"alone has {own}", f"alone has {others}")
                return


def write_objects(objects: Sequence[Spec], prefix: str = "") -> str:
    """Return the YAML of objects; `prefix` makes their names new to istiod.

    Each is older than the next one, as istiod sees it when they are applied in this order.
    """
    documents = []
    names = {f"{body['metadata']['name']}" for body in objects} - {ENTRY.partition("/")[2]}
    for number, body in enumerate(objects):
        text = json.dumps(body)
        for name in names:
            text = re.sub(rf'(["/]){name}"', rf'\1{prefix}{name}"', text)
        document = json.loads(text)
        if prefix:
            stamp = f"2026-01-01T00:00:{number:02}Z"
            document["metadata"]["creationTimestamp"] = stamp
        documents.append(yaml.safe_dump(document, sort_keys=False, default_flow_style=None))
    return "---\n".join(documents)


def _load(text: str) -> _Loaded:
    """Return the rules as a run reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.yaml"
        path.write_text(f"{text}---\n{describe_world()}")
        try:
            rules = loading.load([str(path)])
        except BadRules as error:
            return _Loaded(refusal=str(error))
    wrong = [entry.because for entry in rules.excluded if entry.is_wrong]
    unserved = [entry.because for entry in rules.excluded if not entry.is_wrong]
    if wrong:
        return _Loaded(rules, refusal=wrong[0])
    return _Loaded(rules, unserved=normalise("".join(unserved[:1])))


def read_set(generated: GeneratedSet) -> UserRules | None:
    """Return the rules of a set as a run reads them, None if it refuses them."""
    loaded = _load(write_objects(generated.objects, "s0-"))
    return None if loaded.refusal or loaded.unserved else loaded.rules


def _find_effects(generated: GeneratedSet) -> tuple[bool, bool]:
    """Say whether a set has mirrors, and whether it has delays."""
    text = json.dumps(generated.objects)
    return '"mirror' in text, '"delay"' in text


def normalise(message: str) -> str:
    """Return a message without places, names and numbers."""
    return " ".join(_PARTICULARS.sub("_", message).split())[:200]


def _is_askable(case: Case) -> bool:
    """Say whether the world has the caller of a case, and its answer does not take seconds."""
    answer = case.answer
    is_caller = case.call.gateway != "mesh" or (case.call.namespace, case.call.source) in CALLERS
    return is_caller and max(answer.extra_seconds, answer.min_seconds) < 0.5


def _is_taken(rules: UserRules, call: Call) -> bool:
    """Say whether some proxy takes a call: one whose Sidecar shows no service has no listener."""
    return call.gateway != MESH or any(
        call.port in service.ports
        and sidecars.sees_service(rules.rules, replace(call, host=service.host))
        for service in (*SERVICES, OUTSIDE)
    )


def _build_call(case: Case) -> Call:
    """Return the request of a case, with what it tells the workload."""
    call = case.call
    for name, value in case.answer.instruction_headers:
        call = call.with_header(name, value)
    return call


def _describe(question: Asked, cases: Sequence[Case]) -> Difference:
    """Return the difference between two meshes, and whom the oracle agrees with."""
    local, istiod = (
        "; ".join(f"{count} x {answer}" for answer, count in counts.most_common(3))
        for counts in question.answers.values()
    )
    kind = f"answer: {', '.join(question.list_parts())}"
    words = [
        name
        for name in question.responses
        for case in cases
        if _find_unexpected(case, question, name) is None
    ]
    oracle = (
        f"the oracle agrees with {' and '.join(dict.fromkeys(words)) or 'none'}" if cases else ""
    )
    return Difference(kind, question.call, local, istiod, oracle)


def _find_oracle_faults(case: Case, question: Asked) -> Iterator[Difference]:
    """Yield the difference between a case and both meshes, which agree."""
    unexpected = [_find_unexpected(case, question, name) for name in question.responses]
    if None not in unexpected:
        yield Difference(
            "oracle: " + re.sub(r"'[^']*'|\S*/\S*|\d+", "_", str(unexpected[0])),
            question.call,
            str(unexpected[0]),
            str(unexpected[1]),
            f"the case '{case.title}' disagrees with both meshes",
        )


def _find_unexpected(case: Case, question: Asked, mesh: str) -> str | None:
    """Return what a mesh answered that a case does not expect, None if nothing."""
    responses = question.responses[mesh]
    if case.answer.refuses_tls:
        accepted = [response for response in responses if response.status != NO_CONNECTION]
        return f"{accepted[0].status} instead of no TLS" if accepted else None
    if case.dead_ends:
        return _find_life(case, responses)
    try:
        destinations = WORKLOADS.map_destinations(case)
    except OverlappingShares:
        return None
    comparison = CaseComparison(
        case, destinations, WORKLOADS.expected_shares(case), markers=MARKERS
    )
    for response in responses:
        label = comparison.label(response)
        if label not in comparison.expected_shares:
            expected = " or ".join(comparison.expected_shares)
            return f"{label or response.status} instead of {expected}"
    return None


def _find_life(case: Case, responses: Sequence[HttpResponse]) -> str | None:
    """Return what came of requests that must all end at a dead end, None for an error."""
    if any(_may_hide_the_rule_alone(dead_end, case) for dead_end in case.dead_ends):
        return None
    share = sum(dead_end.share for dead_end in case.dead_ends if not dead_end.is_mirror)
    living = [response for response in responses if response.status < _ERROR_STATUS]
    if share < 1 or not living:
        return None
    return f"{living[0].status} instead of an error at a dead end"


def _may_hide_the_rule_alone(dead_end: DeadEnd, case: Case) -> bool:
    """Say whether a Sidecar may show a caller the service without its rule: it answers then."""
    return dead_end.kind is DeadEndKind.IMPORT and dead_end.destination.host == case.call.host
