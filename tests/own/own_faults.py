"""A pytest plugin that makes the translation wrong: `-p own_faults --own-fault "60/40"`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from meshproof.base.names import labels
from meshproof.documents.manifest import At
from meshproof.mesh.envoy import actions, translate
from meshproof.mesh.envoy.matching import route_match
from meshproof.rules.actions import HeaderChanges, Headers
from meshproof.rules.model import Arm, Match, Route, StringMatch

Plant = Callable[[pytest.MonkeyPatch], None]


def matched(doctor: Callable[[Match], Match]) -> Plant:
    """Serve another match in the place of each."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(match: Match | None) -> Any:
            return route_match(doctor(match) if match else None)

        patch.setattr(translate, "route_match", wrong)

    return plant


def sent(doctor: Callable[[Arm], Arm]) -> Plant:
    """Serve another arm in the place of each."""
    route = translate._route

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(snapshot: translate.Snapshot, arm: Arm, *rest: Any) -> Any:
            return route(snapshot, doctor(arm), *rest)

        patch.setattr(translate, "_route", wrong)

    return plant


def first_arm_last(patch: pytest.MonkeyPatch) -> None:
    routes = translate._arms_routes
    patch.setattr(translate, "_arms_routes", lambda *given: list(reversed(routes(*given))))


def swapped(first: int, second: int) -> Plant:
    """Serve two arms of every rule in each other's place."""
    routes = translate._arms_routes

    def plant(patch: pytest.MonkeyPatch) -> None:
        def wrong(snapshot: translate.Snapshot, rule: Route, caller: Any) -> Any:
            arms = list(rule.arms)
            arms[first], arms[second] = arms[second], arms[first]
            return routes(snapshot, replace(rule, arms=tuple(arms)), caller)

        patch.setattr(translate, "_arms_routes", wrong)

    return plant


def as_in_the_file(patch: pytest.MonkeyPatch) -> None:
    """Try arms in the order in which they are written."""
    routes = translate._arms_routes

    def wrong(snapshot: translate.Snapshot, rule: Route, *rest: Any) -> Any:
        return routes(snapshot, replace(rule, arms=tuple(sorted(rule.arms, key=_line))), *rest)

    patch.setattr(translate, "_arms_routes", wrong)


def _line(arm: Arm) -> int:
    return arm.at.line


def moved_by_letters(patch: pytest.MonkeyPatch) -> None:
    """Replace a prefix as if it were no path."""
    patch.setattr(actions, "_moved", lambda match, to: {"prefix_rewrite": to})


def elements_as_letters(match: Match) -> Match:
    whole = match.uri and match.uri.kind == "below"
    return replace(match, uri=replace(match.uri, kind="prefix")) if whole and match.uri else match


def callers_ignored(patch: pytest.MonkeyPatch) -> None:
    right = translate._Caller.may

    def wrong(caller: Any, match: Match | None) -> bool:
        return right(caller, replace(match, source=()) if match else None)

    patch.setattr(translate._Caller, "may", wrong)


def prefix_as_exact(match: Match) -> Match:
    prefix = match.uri and match.uri.kind == "prefix"
    return replace(match, uri=replace(match.uri, kind="exact")) if prefix and match.uri else match


def open_ended(match: Match) -> Match:
    def widened(one: StringMatch) -> StringMatch:
        return replace(one, value=f"{one.value}.*") if one.kind == "regex" else one

    return replace(
        match,
        uri=widened(match.uri) if match.uri else None,
        headers=tuple((name, widened(one)) for name, one in match.headers),
    )


def broken(match: Match) -> Match:
    regex = match.uri and match.uri.kind == "regex"
    return (
        replace(match, uri=replace(match.uri, value="/[0-9]+(")) if regex and match.uri else match
    )


def weighted(*weights: int) -> Callable[[Arm], Arm]:
    """Give a split of several other weights."""

    def doctor(arm: Arm) -> Arm:
        if len(arm.split) < 2:
            return arm
        pairs = zip(arm.split, weights, strict=True)
        return replace(arm, split=tuple(replace(one, weight=weight) for one, weight in pairs))

    return doctor


def canary_for_all(match: Match) -> Match:
    kept = tuple(one for one in match.headers if one[0] != "x-canary")
    return replace(match, headers=kept)


def default_to_v3(arm: Arm) -> Arm:
    if arm.matches:
        return arm
    version = labels({"version": "v3"})
    return replace(arm, split=tuple(replace(one, labels=version) for one in arm.split))


def by_name(doctors: dict[str, Callable[[Arm], Arm]]) -> Callable[[Arm], Arm]:
    """Doctor each arm of actions.yaml by its name."""

    def doctor(arm: Arm) -> Arm:
        return doctors[arm.name](arm) if arm.name in doctors else arm

    return doctor


def part(name: str, **changes: Any) -> Callable[[Arm], Arm]:
    """Change fields of one of an arm's actions."""

    def doctor(arm: Arm) -> Arm:
        action: Any = getattr(arm, name)
        changed: Any = replace(action, **changes)
        return replace(arm, **{name: changed})

    return doctor


def without(name: str, value: Any = None) -> Callable[[Arm], Arm]:
    return lambda arm: replace(arm, **{name: value})


def set_as_add(arm: Arm) -> Arm:
    """Every value that is set is added instead."""

    def changed(one: HeaderChanges) -> HeaderChanges:
        return replace(one, set=(), add=one.set + one.add)

    headers = Headers(changed(arm.headers.request), changed(arm.headers.response))
    return replace(arm, headers=headers)


def add_as_set(arm: Arm) -> Arm:
    def changed(one: HeaderChanges) -> HeaderChanges:
        return replace(one, set=one.set + one.add, add=())

    headers = Headers(changed(arm.headers.request), changed(arm.headers.response))
    return replace(arm, headers=headers)


def own_headers_swapped(arm: Arm) -> Arm:
    first, second = arm.split
    return replace(
        arm,
        split=(replace(first, headers=second.headers), replace(second, headers=first.headers)),
    )


def even(arm: Arm) -> Arm:
    return replace(arm, split=tuple(replace(one, weight=1) for one in arm.split))


def without_own_headers(arm: Arm) -> Arm:
    return replace(arm, split=tuple(replace(one, headers=Headers()) for one in arm.split))


def mirror_to_v1(arm: Arm) -> Arm:
    (mirror,) = arm.mirrors
    target = replace(mirror.target, labels=labels({"version": "v1"}))
    return replace(arm, mirrors=(replace(mirror, target=target),))


def mirrored_twice(arm: Arm) -> Arm:
    return replace(arm, mirrors=arm.mirrors * 2)


def cors(arm: Arm, **changes: Any) -> Arm:
    return part("cors", **changes)(arm)


def origins(arm: Arm) -> tuple[StringMatch, ...]:
    assert arm.cors
    return arm.cors.origins


#: Takes origins that only begin like the one that is meant.
WEAK = StringMatch("prefix", "https://a.exampl", At("own_faults", 1))

#: Arm -> what is wrong with its action, one at a time; see `test_own_actions.py`.
ACTIONS: dict[str, dict[str, Callable[[Arm], Arm]]] = {
    "actions, first": {
        "moved": part("redirect", code=301),
        "elsewhere": part("redirect", port=None),
        "teapot": part("direct", body="tall and stout"),
        "api": part("rewrite", uri="/v2"),
        "whole path": without("rewrite"),
        "by regex": part("rewrite", substitution=r"/\1"),
        "headers": set_as_add,
        "aborted": part("fault", status=500),
        "sometimes aborted": part("fault", aborted=60.0),
        "delayed": part("fault", delay=0.1),
        "timeout": without("timeout"),
        "retries": part("retries", attempts=2),
        "mirrored": without("mirrors", ()),
    },
    "actions, second": {
        "moved": part("redirect", uri="/newer"),
        "elsewhere": part("redirect", scheme=""),
        "teapot": without("headers", Headers()),
        "api": part("rewrite", authority=""),
        "headers": own_headers_swapped,
        "aborted": without("fault"),
        "sometimes aborted": part("fault", status=503),
        "delayed": without("fault"),
        "timeout": without("timeout", 0.1),
        "retries": part("retries", attempts=4),
        "mirrored": mirror_to_v1,
    },
    "actions, third": {
        "elsewhere": part("redirect", authority=""),
        "teapot": part("direct", status=200),
        "headers": add_as_set,
        "partly mirrored": lambda arm: replace(
            arm, mirrors=(replace(arm.mirrors[0], percent=70.0),)
        ),
        "retries": part("retries", on=("reset",)),
    },
    "mirrors, first": {"first": without("mirrors", ()), "second": mirrored_twice},
    "mirrors, second": {"first": mirrored_twice, "second": without("mirrors", ())},
    "times, first": {
        "sometimes late": part("fault", delayed=60.0),
        "long": without("timeout", 14.0),
    },
    "times, second": {
        "sometimes late": part("fault", delay=0.1),
        "long": without("timeout"),
        "late split": weighted(40, 60),
    },
    "cors, first": {
        "api": lambda arm: cors(arm, origins=origins(arm)[:2], methods=("POST",)),
        "ignoring": part("cors", forward=True),
    },
    "cors, second": {
        "api": part("cors", exposed=()),
        "gets": part("cors", origins=()),
        "anything": part("cors", headers=("x-a",)),
        "old": part("cors", methods=("POST",)),
    },
    "cors, third": {
        "api": lambda arm: cors(arm, origins=(WEAK, *origins(arm)[1:]), credentials=None),
    },
    "cors, fourth": {"api": part("cors", headers=("x-a",), age=3600, forward=False)},
    "actions, fourth": {
        "headers": lambda arm: replace(arm, headers=replace(arm.headers, request=HeaderChanges())),
    },
    "actions, fifth": {
        "headers": lambda arm: replace(arm, headers=replace(arm.headers, response=HeaderChanges())),
    },
    # The arms of gateway_api.yaml; see `test_own_gateway_api.py`.
    "gateway api, first": {
        "split": even,
        "moved": part("redirect", asked_port=False),
        "elsewhere": part("redirect", uri="/"),
        "api": without("headers", Headers()),
        "without prefix": without("rewrite"),
        "whole path": without("mirrors", ()),
        "slow": without("timeout"),
        "again": part("retries", on=("connect-failure",)),
        "nowhere": part("direct", status=503),
    },
    "gateway api, second": {
        "split": without_own_headers,
        "moved": part("redirect", code=301),
        "api": without("rewrite"),
        "whole path": without("rewrite"),
        "again": part("retries", attempts=2),
    },
}

FAULTS: dict[str, Plant] = {
    "nothing": lambda patch: None,
    "prefix as exact": matched(prefix_as_exact),
    "header dropped": matched(lambda match: replace(match, headers=())),
    "canary for all": matched(canary_for_all),
    "query ignored": matched(lambda match: replace(match, query=())),
    "case not ignored": matched(lambda match: replace(match, ignore_uri_case=False)),
    "regex open at its end": matched(open_ended),
    "regex that is none": matched(broken),
    "first arm last": first_arm_last,
    "arms 1 and 2 swapped": swapped(0, 1),
    "arms 2 and 3 swapped": swapped(1, 2),
    "order of the file": as_in_the_file,
    "elements as letters": matched(elements_as_letters),
    "prefix moved by letters": moved_by_letters,
    "callers ignored": callers_ignored,
    "60/40": sent(weighted(60, 40)),
    "55/45": sent(weighted(55, 45)),
    "default to v3": sent(default_to_v3),
    **{name: sent(by_name(doctors)) for name, doctors in ACTIONS.items()},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--own-fault", metavar="NAME", required=True, choices=sorted(FAULTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[session.config.getoption("--own-fault")](patch)
        return (yield)
