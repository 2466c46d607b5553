"""One sample run with every outcome, judged by the real judge, for all reports."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from meshproof.base.clues import Clue
from meshproof.base.place import Place
from meshproof.mesh.protocol import Served
from meshproof.run.cause import Cause
from meshproof.run.failure import Failure
from meshproof.run.record import Check, Outcome, Result, Run
from meshproof.run.remark import Remark
from meshproof.verdict import Settings, judge

SETTINGS = Settings(alpha=1e-6, alpha_independence=1e-6)
SERVED = Served("3f2a19c8d7e6b5a4", 11, 0.214)
CURL = "curl -s -H 'Host: bookinfo.local' http://127.0.0.1:32801/productpage"


def build_check(
    name: str,
    answers: Iterable[str | None],
    expect: Mapping[str, float] | Iterable[str],
    curl: str = CURL,
    by: str = "reviews",
) -> Check:
    return Check(name, by, curl, judge(answers, expect, SETTINGS), sampling="2 workers")


def draw_labels(seed: int, **weights: int) -> list[str]:
    return random.Random(seed).choices(list(weights), list(weights.values()), k=5000)


def build_kept_results() -> list[Result]:
    only_v3 = {"v1": 0, "v2": 0, "v3": 100}
    burr = build_check("user=burr goes to v3", ["v3"] * 2000, only_v3, f"{CURL} -b 'user=burr'")
    everyone_else = build_check(
        "everyone else is not moved", draw_labels(3, v1=1, v2=1, v3=1), ["v1", "v2", "v3"]
    )
    return [
        Result(
            promise="v3 only",
            title="reviews answers from v3 and from no other version",
            outcome=Outcome.PASSED,
            dialect="VirtualService",
            rule=Place("manifests/rules/v3_only/v1.yaml", 8),
            checks=(build_check("reviews is v3 only", ["v3"] * 2000, only_v3),),
            seconds=1.34,
            served=SERVED,
        ),
        Result(
            promise="cookie user=burr",
            title="the cookie user=burr leads to v3; nobody else is moved",
            outcome=Outcome.PASSED,
            dialect="RouteRule",
            rule=Place("manifests/rules/cookie_burr/v1alpha2.yaml", 14),
            checks=(burr, everyone_else),
            seconds=2.71,
        ),
    ]


def build_broken_results() -> list[Result]:
    half = {"v1": 50, "v2": 50}
    turns = build_check("orders is half and half", ["v1", "v2"] * 900, half, by="orders")
    return [
        Result(
            promise="split half",
            title="half of the orders go to each version",
            outcome=Outcome.FAILED,
            dialect="VirtualService",
            rule=Place("manifests/rules/split_half/v1.yaml", 21),
            checks=(
                build_check(
                    "orders is half and half", draw_labels(1, v1=60, v2=40), half, by="orders"
                ),
            ),
            failure=Failure(
                "the shares are off",
                diagnosis="meshproof-report/diagnosis/split-half",
            ),
            seconds=3.02,
        ),
        Result(
            promise="split half",
            title="half of the orders go to each version",
            outcome=Outcome.FAILED,
            dialect="RouteRule",
            rule=Place("manifests/rules/split_half/v1alpha2.yaml", 11),
            checks=(turns,),
            failure=Failure(
                f"orders is half and half: {turns.verdict.statement}",
                expected="v1 0.5, v2 0.5",
                observed=turns.verdict.paragraph(),
                curl=CURL,
                clues=(Clue("reviews", "no route weighs the versions"),),
                diagnosis="meshproof-report/diagnosis/split-half-routerule",
            ),
            seconds=0.41,
        ),
    ]


def build_undecided_results() -> list[Result]:
    return [
        Result(
            promise="default rotation",
            title="without a rule v1, v2 and v3 are all seen",
            outcome=Outcome.INCONCLUSIVE,
            checks=(
                build_check("all versions are seen", ["v1", "v2", "v3"] * 5, ["v1", "v2", "v3"]),
            ),
            seconds=0.2,
        ),
        Result(
            promise="addon grafana",
            title="Grafana is reachable and shows our requests",
            outcome=Outcome.NOT_SUPPORTED,
            reason="grafana is not installed",
            how_to_get="Get it with apt-get install grafana, or name one with --grafana PATH",
        ),
        Result(
            promise="own rules",
            title="each case of the given rules holds",
            outcome=Outcome.SKIPPED,
            reason="no --rules given",
        ),
        Result(
            promise="productpage",
            title="the productpage holds its reviews and details",
            outcome=Outcome.MESH_NOT_READY,
            failure=Failure(
                "ratings-v1 did not answer within 20 s",
                cause="ratings-v1 did not answer within 20 s\nlast log line: address in use",
                diagnosis="meshproof-report/diagnosis/productpage",
            ),
            seconds=20.0,
        ),
    ]


def build_run(results: Iterable[Result]) -> Run:
    return Run(
        version="0.1.0",
        mesh="local",
        proven="the rules mean what you think, and Envoy does it; it says nothing about Istio",
        command="meshproof test --mesh local",
        started="2026-11-24T10:00:00+00:00",
        standins=["reviews v1 to v3: meshproof.apps.reviews for istio/examples-bookinfo-reviews"],
        results=list(results),
        seconds=29.6,
    )


@pytest.fixture(scope="session")
def mixed_run() -> Run:
    return build_run([*build_kept_results(), *build_broken_results(), *build_undecided_results()])


@pytest.fixture(scope="session")
def green_run() -> Run:
    return build_run(build_kept_results())


@pytest.fixture(scope="session")
def empty_run() -> Run:
    return build_run([])


@pytest.fixture(scope="session")
def hostile_run() -> Run:
    """Names and answers as a stranger may choose them: markup, escapes, commands, surrogates."""
    nasty = "<script>alert(1)</script> & \x1b[31m\x00 \ud800\r\n::error::x\n##vso[x]\u202e\u2028"
    judged = build_check(nasty, [nasty, "v1"] * 500, {"v1": 50, nasty: 50}, nasty)
    remark = Remark(Place(nasty, 7), f"warned: {nasty}", nasty)
    cause = Cause(nasty, Place(nasty, 7), nasty, (nasty,), nasty)
    result = Result(
        promise=nasty,
        title=nasty,
        outcome=Outcome.FAILED,
        rule=Place(nasty),
        checks=(judged,),
        warnings=(remark,),
    )
    failures = (Failure(nasty, diagnosis=nasty), Failure(nasty, root_cause=cause))
    run = build_run([replace(result, failure=failure) for failure in failures])
    run.unreached.append(remark)
    return run
