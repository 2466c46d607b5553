"""A pytest plugin that makes the translation wrong: `-p own_faults --own-fault "60/40"`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from meshproof.mesh import translate
from meshproof.mesh.matching import route_match
from meshproof.rules.model import Arm, Match, StringMatch, labels

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


def sixty_forty(arm: Arm) -> Arm:
    if len(arm.split) < 2:
        return arm
    weighted = zip(arm.split, (60, 40), strict=True)
    return replace(arm, split=tuple(replace(one, weight=weight) for one, weight in weighted))


def default_to_v3(arm: Arm) -> Arm:
    if arm.matches:
        return arm
    version = labels({"version": "v3"})
    return replace(arm, split=tuple(replace(one, labels=version) for one in arm.split))


FAULTS: dict[str, Plant] = {
    "nothing": lambda patch: None,
    "prefix as exact": matched(prefix_as_exact),
    "header dropped": matched(lambda match: replace(match, headers=())),
    "query ignored": matched(lambda match: replace(match, query=())),
    "case not ignored": matched(lambda match: replace(match, ignore_uri_case=False)),
    "regex open at its end": matched(open_ended),
    "regex that is none": matched(broken),
    "first arm last": first_arm_last,
    "60/40": sent(sixty_forty),
    "default to v3": sent(default_to_v3),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--own-fault", metavar="NAME", required=True, choices=sorted(FAULTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[session.config.getoption("--own-fault")](patch)
        return (yield)
