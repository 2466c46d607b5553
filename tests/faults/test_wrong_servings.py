"""A real Envoy that lies: every wrong serving of a field of the rules is red, or has its reason."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from meshproof.base import timeouts
from meshproof.base.errors import MeshproofError
from meshproof.base.waiting import wait_for
from meshproof.mesh.echo.mesh import EchoMesh
from meshproof.mesh.envoy.envoy import find_binary
from meshproof.mesh.protocol import Options
from meshproof.oracle.derive import Case
from meshproof.rules import actions, model
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits
from meshproof.user_rules import loading
from meshproof.user_rules.compare import CaseComparison
from meshproof.verdict import judge
from tests.certain import CERTAIN
from tests.command import run_command
from tests.faults.liar.wrong_servings import NOT_SERVED, WRONG_SERVINGS, WrongServing

FOLDER = Path(__file__).with_name("liar")
RULES = FOLDER / "rules.yaml"
#: How many cases with slow responses run at once.
_WORKERS = 16


class LyingMesh:
    """The rules of rules.yaml on real Envoys that serve one wrong serving at a time."""

    def __init__(self, mesh: EchoMesh, rules: loading.UserRules, lie: Path) -> None:
        self.rules = rules
        self._mesh = mesh
        self._lie = lie
        self._numbers = itertools.count(1)

    def serve(self, wrong: WrongServing | None = None) -> None:
        """Serve a wrong serving, or none; return once both Envoys do."""
        mark, name = f"lie-{next(self._numbers)}", wrong.name if wrong else ""
        only = f"@{self._find_routes(wrong.caller)}" if wrong and wrong.caller else ""
        scratch = self._lie.with_suffix(".new")
        scratch.write_text(f"{mark} {name}{only}")
        scratch.rename(self._lie)
        wait_for(
            lambda: self._has_taken(mark) or None,
            timeouts.CONFIG_SERVED,
            lambda: f"no Envoy serves '{name}'",
        )

    def _find_routes(self, label: str) -> str:
        """Return the name of the routes of the callers that have one label alone."""
        key, _, value = label.partition("=")
        return self._mesh._listener_names["default", ((key, value),)]

    def _has_taken(self, mark: str) -> bool:
        """Say whether every route configuration of both Envoys has the mark."""
        for envoy in self._mesh._list_proxies():
            dump = envoy.read_admin("/config_dump?resource=dynamic_route_configs")
            names = [kind for kind in envoy._served_versions if kind.startswith("rds.")]
            if dump.count(f'"{mark}.invalid"') != len(names):
                return False
        return True

    def find_red(self, cases: list[Case]) -> Generator[str]:
        """Yield the cases whose responses are not as expected, each with the reason."""
        is_slow = loading.is_sent_ahead
        with ThreadPoolExecutor(_WORKERS) as executor:
            slow_outcomes = [executor.submit(self._judge, case) for case in cases if is_slow(case)]
            yield from filter(None, (self._judge(case) for case in cases if not is_slow(case)))
            yield from filter(None, (outcome.result() for outcome in slow_outcomes))

    def _count_batch(self, case: Case) -> int:
        """Return how many requests of a case are sent at once, as in a run."""
        if not case.needs_judge:
            return self._mesh.workloads.count_visits(case)
        return loading.COPY_BATCH if case.answer.mirrors else 10

    def _judge(self, case: Case) -> str:
        """Return what is wrong with the responses of a case, "" if nothing is."""
        sampling = Sampling(batch=self._count_batch(case), workers=4 if case.needs_judge else 1)
        request = self.rules.build_request(case)
        visits = Visits(
            self._mesh.address(case.call),
            [request],
            "liar",
            sampling,
            sender=self._mesh.sender(case),
        )
        comparison = CaseComparison.for_case(case, self._mesh)
        try:
            if sample := comparison.select_sample(visits, self._mesh):
                labels: Iterable[str | None] = (
                    sample.visits
                    if isinstance(sample.visits, Iterator)
                    else visits.label_by(sample.label or comparison.label)
                )
                verdict = judge(labels, sample.expected, CERTAIN)
                return "" if verdict.holds else f"{case.id}: {verdict}"
            fault = comparison.find_fault(visits, self._mesh)
        except MeshproofError as error:
            return f"{case.id}: {error}"
        return f"{case.id}: {fault}" if fault else ""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LyingMesh]:
    lie = tmp_path_factory.mktemp("liar") / "lie"
    lie.write_text("lie-0 ")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("MESHPROOF_LIE", str(lie))
        patch.setenv("MESHPROOF_REAL_ENVOY", str(find_binary()))
        rules = loading.load([str(RULES)])
        options = Options(envoy=str(FOLDER / "envoy"), beta=CERTAIN.beta)
        opened = EchoMesh.opened(options, rules.rules, rules.plan.cases, rules.known_hosts)
        yield LyingMesh(stack.enter_context(opened), rules, lie)


def is_quick(case: Case) -> bool:
    """Say whether a case takes few requests that are answered at once."""
    return not case.needs_judge and not loading.is_sent_ahead(case)


def select_cases(rules: loading.UserRules, wrong: WrongServing) -> list[Case]:
    """Return the cases about the route of a wrong serving, or about its whole table."""
    for number, table in enumerate(rules.rules.tables):
        lines = [route.at.line for route in table.routes]
        for route in table.routes:
            if route.name == wrong.route:
                table_cases = [case for case in rules.plan.cases if case.table_index == number]
                if wrong.edits_host:
                    return list(filter(is_quick, table_cases))
                end = min((line for line in lines if line > route.at.line), default=10**6)
                lines_of_route = range(route.at.line, end)
                return [case for case in table_cases if case.at.line in lines_of_route]
    raise AssertionError(f"no route '{wrong.route}' in {RULES.name}")


def test_without_a_lie_every_quick_case_is_green(mesh: LyingMesh) -> None:
    mesh.serve()
    assert list(mesh.find_red([case for case in mesh.rules.plan.cases if is_quick(case)])) == []


@pytest.mark.long
def test_without_a_lie_every_case_is_green(mesh: LyingMesh) -> None:
    mesh.serve()
    assert list(mesh.find_red(list(mesh.rules.plan.cases))) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(wrong.name, marks=() if wrong.is_short else pytest.mark.long)
        for wrong in WRONG_SERVINGS.values()
    ],
)
def test_a_wrong_serving_is_red_or_has_its_reason(mesh: LyingMesh, name: str) -> None:
    wrong = WRONG_SERVINGS[name]
    cases = select_cases(mesh.rules, wrong)
    assert cases, f"no case is about route '{wrong.route}'"
    mesh.serve(wrong)
    with contextlib.closing(mesh.find_red(cases)) as red_cases:
        red = next(red_cases, "")
    assert bool(red) == (not wrong.unseen), red or [case.id for case in cases]


def list_model() -> Iterator[Any]:
    """Yield every class of the rules' model that has fields."""
    for module in (model, actions):
        for part in vars(module).values():
            is_own = isinstance(part, type) and part.__module__ == module.__name__
            if is_own and dataclasses.is_dataclass(part):
                yield part


def test_each_field_of_the_model_is_served_wrongly_or_has_its_reason() -> None:
    fields = {
        f"{part.__name__}.{field.name}"
        for part in list_model()
        for field in dataclasses.fields(part)
    }
    served = {wrong.field for wrong in WRONG_SERVINGS.values()}
    assert fields == served | set(NOT_SERVED)
    assert not served & set(NOT_SERVED)


def test_a_reason_that_names_a_test_names_one_that_there_is() -> None:
    named = {word for reason in NOT_SERVED.values() for word in reason.split() if "tests/" in word}
    assert named
    assert [name for name in named if not Path(__file__).parents[2].joinpath(name).exists()] == []


def test_the_command_is_red_with_a_lying_envoy_and_green_with_an_honest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = tmp_path / "lie"
    monkeypatch.setenv("MESHPROOF_LIE", str(lie))
    monkeypatch.setenv("MESHPROOF_REAL_ENVOY", str(find_binary()))
    command = ["test", "--rules", str(RULES), "--mesh-envoy", str(FOLDER / "envoy")]
    for name, code in (("", 0), ("exact as path prefix", 1)):
        lie.write_text(f"lie-0 {name}")
        ended = run_command(*command, "-k", "exact and below", folder=tmp_path)
        assert ended.code == code, ended.output
