"""Lint is a part of the verdict: errors are red with their code, warnings stand beside routes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof import cli
from meshproof.base.place import Place
from meshproof.run.broken import group_by_cause
from meshproof.run.record import Outcome, Result, Run
from meshproof.user_rules import loading
from meshproof.user_rules.causes import explain_dead_end
from meshproof.user_rules.loading import ReadingOptions, UserRules
from tests.manifest_text import write_head
from tests.user_rules.test_own_world import SHOP as SHOP_WITHOUT_SELECTORS

SELECTOR = "{selector: {matchLabels: {app: web}}, template: "
SHOP = SHOP_WITHOUT_SELECTORS.replace("{template: ", SELECTOR)
RunCommand = Callable[..., Any]
CANARY = "{destination: {host: web, subset: v2}, weight: 10}"
REST = "  - name: rest\n    route: [{destination: {host: web}}]\n"
GATEWAY = write_head("Gateway", "gw") + (
    "spec:\n  selector: {istio: ingressgateway}\n  servers:\n"
    "  - hosts: ['*']\n    port: {number: 80, name: http, protocol: HTTP}\n"
    "    tls: {mode: SIMPLE, credentialName: a}\n"
)
#: Defect of the shop -> what is replaced by what, its code, and where it is.
ERRORS = {
    "subset": (CANARY, CANARY.replace("v2", "v9"), "MP0501", "shop.yaml:36"),
    "port": (REST, REST.replace("web}", "web, port: {number: 81}}"), "MP0510", "shop.yaml:38"),
    "key": (REST, REST.replace("route:", "retires: 1\n    route:"), "MP0101", "shop.yaml:38"),
    "gateway": (REST, f"{REST}---\n{GATEWAY}", "MP0605", "shop.yaml:48"),
}
#: An error of which no case tells.
UNKNOWN_KEY_OF_A_SIDECAR = f"{REST}---\n{write_head('Sidecar', 'a')}spec: {{egres: []}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_shop(old: str = "", new: str = "") -> None:
    assert old in SHOP
    Path("shop.yaml").write_text(SHOP.replace(old, new) if old else SHOP)


def list_causes(user_rules: UserRules) -> set[tuple[str, str]]:
    """Return code and place of each cause that lint or the excluded objects give."""
    causes = [error.cause for error in user_rules.lint_errors]
    causes += [entry.lint_cause for entry in user_rules.excluded if entry.lint_cause]
    return {(cause.code, str(cause.place)) for cause in causes}


def test_rules_without_a_mistake_say_so() -> None:
    write_shop()
    user_rules = loading.load(["shop.yaml"])
    assert (user_rules.lint_errors, user_rules.route_warnings) == ((), {})
    assert user_rules.lint_notes == ("lint finds nothing",)


@pytest.mark.parametrize("defect", ERRORS)
def test_an_error_is_one_cause_with_its_code(defect: str) -> None:
    old, new, code, place = ERRORS[defect]
    write_shop(old, new)
    user_rules = loading.load(["shop.yaml"])
    assert list_causes(user_rules) == {(code, place)}
    assert user_rules.lint_notes == ("lint: 1 error",)
    failed = [entry for entry in user_rules.excluded if entry.is_failed]
    assert len(failed) + len(user_rules.lint_errors) == 1


def test_an_error_and_the_cases_that_break_by_it_have_the_same_cause() -> None:
    old, new, _, _ = ERRORS["port"]
    write_shop(old, new)
    user_rules = loading.load(["shop.yaml"])
    dead_ends = [dead_end for case in user_rules.plan.cases for dead_end in case.dead_ends]
    assert {explain_dead_end(dead_end) for dead_end in dead_ends} == {
        error.cause for error in user_rules.lint_errors
    }


def test_a_subset_may_be_in_a_part_that_is_not_read() -> None:
    old, new, _, _ = ERRORS["subset"]
    write_shop(old, new)
    Path("more.yaml").write_text("kind: DestinationRule\nmetadata: {name: {{ .Values.name }}}\n")
    user_rules = loading.load(["."])
    assert list_causes(user_rules) == set()
    assert {entry.exit_code for entry in user_rules.excluded} == {3}


ROUTE_RULES = write_head("RouteRule", "web") + (
    "spec: {destination: {name: web}, precedence: 1, route: [{labels: {version: v1}}]}\n---\n"
)
OLD_INGRESS = write_head("Ingress", "web").replace("networking.k8s.io/v1", "extensions/v1beta1") + (
    "spec: {rules: [{http: {paths: [{backend: {serviceName: web, servicePort: 80}}]}}]}\n"
)


def test_what_the_releases_of_route_rules_took_is_no_error() -> None:
    Path("old.yaml").write_text(ROUTE_RULES + OLD_INGRESS)
    assert not loading.load(["old.yaml"]).lint_errors
    Path("new.yaml").write_text(f"{SHOP}---\n{OLD_INGRESS}")
    (error,) = loading.load(["new.yaml"]).lint_errors
    assert error.cause.code == "MP0207", "what follows from it is another error"


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: web}\nspec: {}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: '${NAME}'}\nspec: {ports: [{port: 80}]}\n",
    ],
    ids=["object that routes nothing", "placeholder of a template"],
)
def test_what_is_not_about_the_rules_fails_no_run(text: str) -> None:
    write_shop()
    Path("other.yaml").write_text(text)
    assert not loading.load(["."]).lint_errors


def test_workloads_that_a_cluster_refuses_are_a_warning() -> None:
    Path("shop.yaml").write_text(SHOP_WITHOUT_SELECTORS)
    user_rules = loading.load(["shop.yaml"])
    assert not user_rules.lint_errors
    assert user_rules.lint_notes[0] == "lint: 2 warnings"


def test_variants_and_patches_are_not_linted() -> None:
    write_shop()
    Path("variant.yaml").write_text(SHOP.replace("name: canary", "name: part"))
    Path("kustomization.yaml").write_text("resources: [shop.yaml]\npatches: [{path: patch.yaml}]\n")
    Path("patch.yaml").write_text(write_head("DestinationRule", "web") + "spec: {}\n")
    assert not loading.load(["."]).lint_errors


def test_a_comment_takes_an_error_away() -> None:
    old, new, code, _ = ERRORS["gateway"]
    write_shop(old, new.replace("    tls:", f"    # meshproof: ignore[{code}]\n    tls:"))
    assert list_causes(loading.load(["shop.yaml"])) == set()


def test_objects_of_the_inventory_are_known_and_not_blamed() -> None:
    start = SHOP.index("apiVersion: networking")
    Path("rules.yaml").write_text(SHOP[start:].replace("version: v2}", "version: v3}"))
    Path("apps.yaml").write_text(SHOP[:start] + GATEWAY)
    reading = ReadingOptions(inventory=("apps.yaml",))
    assert not loading.load(["rules.yaml"], reading=reading).lint_errors


def test_a_warning_stands_beside_the_route_that_it_touches() -> None:
    retries = f"{REST}    timeout: 1s\n    retries: {{attempts: 3, perTryTimeout: 2s}}\n"
    write_shop(REST, retries)
    user_rules = loading.load(["shop.yaml"])
    ((table_and_route, warnings),) = user_rules.route_warnings.items()
    assert table_and_route == (0, 2)
    assert [str(warning).partition(":")[0] for warning in warnings] == ["MP0601 shop.yaml"]
    routes = {user_rules.name_route(case) for case in user_rules.plan.cases}
    warned = {
        user_rules.name_route(case)
        for case in user_rules.plan.cases
        if user_rules.list_warnings(case)
    }
    assert (warned, len(routes) > 1) == ({"rest"}, True)


def test_a_warning_of_what_a_dead_end_says_is_said_once() -> None:
    write_shop(
        "  - name: rest\n    route: [{destination: {host: web}}]",
        "  - route: [{destination: {host: wbe}}]",
    )
    user_rules = loading.load(["shop.yaml"])
    assert any(case.dead_ends for case in user_rules.plan.cases)
    assert user_rules.lint_notes == ("lint: 1 warning",)


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--no-lint",), 0)])
def test_plan_ends_with_1_unless_the_rules_are_not_linted(
    arguments: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(REST, UNKNOWN_KEY_OF_A_SIDECAR)
    assert cli.main(["plan", "shop.yaml", *arguments]) == code
    output = capsys.readouterr().out
    assert ("shop.yaml:43: error MP0101: " in output) == bool(code), output
    assert ("not linted: --no-lint" in output) == (not code)
    cli.main(["plan", "shop.yaml", "-o", "json", *arguments])
    errors = json.loads(capsys.readouterr().out)["lint_errors"]
    assert [error["code"] for error in errors] == (["MP0101"] if code else [])


def test_plan_ends_with_1_where_a_case_will_fail_though_not_linted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, new, _, _ = ERRORS["port"]
    write_shop(old, new)
    assert cli.main(["plan", "shop.yaml", "--no-lint"]) == 1
    assert capsys.readouterr().err == "meshproof: 12 cases will fail\n"


@pytest.mark.local
def test_a_run_groups_errors_with_what_they_break(meshproof: RunCommand) -> None:
    old, new, *_ = ERRORS["port"]
    write_shop(old, f"{new}---\n{GATEWAY}")
    ended = meshproof("test", "--rules", "shop.yaml")
    assert ended.code == 1, ended.output
    run = Run.from_json(Path("meshproof-report/run.json").read_text())
    by_code = {group.cause.code: group for group in group_by_cause(run)}
    assert set(by_code) == {"MP0510", "MP0605"}
    assert by_code["MP0510"].cause.place == Place("shop.yaml", 38)
    assert {result.route for result in by_code["MP0510"].results} == {"", "rest"}
    assert by_code["MP0510"].breaks.startswith("rest ")
    assert by_code["MP0605"].breaks == "Gateway default/gw 1 of 1 cases"
    page = Path("meshproof-report/index.html").read_text()
    suite = Path("meshproof-report/junit.xml").read_text()
    for text in (page, suite, ended.output):
        assert "MP0605" in text
        assert "Gateway default/gw" in text
    assert "port 80 is HTTP, and tls is set for it" in " ".join(suite.split())


@pytest.mark.local
def test_a_run_that_is_not_linted_says_so(meshproof: RunCommand) -> None:
    write_shop(REST, UNKNOWN_KEY_OF_A_SIDECAR)
    ended = meshproof("test", "--rules", "shop.yaml", "--no-lint")
    assert "not linted: --no-lint" in ended.output
    assert "MP0101" not in ended.output


def test_the_example_of_a_cause_is_a_case_if_one_breaks() -> None:
    write_shop(ERRORS["port"][0], ERRORS["port"][1])
    (error,) = loading.load(["shop.yaml"]).lint_errors
    from meshproof.run.failure import Failure

    failure = Failure("503", root_cause=error.cause, broken_share=0.1)
    results = [
        Result(error.name, error.title, Outcome.FAILED, failure=failure, code="MP0510"),
        Result("case", "", Outcome.FAILED, failure=failure, route="rest"),
        Result("other", "", Outcome.PASSED, route="rest"),
    ]
    (group,) = group_by_cause(Run("0", "local", "", "", "", results=results))
    assert (group.example.promise, group.breaks) == ("case", "rest 1 of 2 cases")


CLAIM = write_head("Gateway", "gw") + (
    "spec: {selector: {istio: ingressgateway}, servers: "
    "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}\n---\n"
    + write_head("VirtualService", "web")
    + "spec:\n  hosts: [a.example]\n  gateways: [gw]\n  http:\n"
    '  - match: [{headers: {"@request.auth.claims.group": {exact: admin}}}]\n'
    "    route: [{destination: {host: web}}]\n"
    "  - route: [{destination: {host: web}}]\n"
)


def test_a_route_for_a_claim_is_unreached_for_that_reason() -> None:
    Path("rules.yaml").write_text(CLAIM)
    user_rules = loading.load(["rules.yaml"])
    ((_, reason),) = user_rules.plan.coverage[0].unreached
    assert reason == "it asks for '@request.auth.claims.group', and no case brings a token"
    assert [warning.code for warning in user_rules.route_warnings[0, 0]] == ["MP0307"]


def test_a_subset_that_nothing_defines_breaks_its_own_route_alone() -> None:
    old, new, _, _ = ERRORS["subset"]
    write_shop(old, new)
    user_rules = loading.load(["shop.yaml"])
    assert user_rules.excluded == ()
    broken = {case.route_index for case in user_rules.plan.cases if case.dead_ends}
    reached = {case.route_index for case in user_rules.plan.cases}
    assert len(broken) == 1
    assert broken < reached
    causes = {
        explain_dead_end(dead_end) for case in user_rules.plan.cases for dead_end in case.dead_ends
    }
    (cause,) = causes
    assert cause.what == "no DestinationRule defines subset v9 of web"
    assert causes == {error.cause for error in user_rules.lint_errors}
