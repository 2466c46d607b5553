"""A repository that is broken although its rules are right: red, each defect as one cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshproof import cli
from meshproof.oracle.dead_ends import DeadEndKind
from meshproof.user_rules import loading
from tests.sidecar_texts import write_sidecar

Run = Callable[..., Any]
SHOP = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1}
spec: {template: {metadata: {labels: {app: web, version: v1}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v2}
spec: {template: {metadata: {labels: {app: web, version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - name: beta
    match: [{headers: {x-beta: {exact: "true"}}}]
    route: [{destination: {host: web, subset: v2}}]
  - name: canary
    match: [{uri: {prefix: /api}}]
    route:
    - {destination: {host: web, subset: v1}, weight: 90}
    - {destination: {host: web, subset: v2}, weight: 10}
  - name: rest
    route: [{destination: {host: web}}]
"""
REST = "    route: [{destination: {host: web}}]"
#: Defect -> what is replaced by what, the cause, and the routes that it breaks.
DEFECTS = {
    "typo": ((REST, REST.replace("web", "wbe")), "no Service has the host wbe.default.", {"rest"}),
    "selector": (
        ("selector: {app: web}", "selector: {app: wob}"),
        "Service web has no pods",
        {"beta", "canary", "rest"},
    ),
    "subset": (
        ("name: v2, labels: {version: v2}", "name: v2, labels: {version: v3}"),
        "subset v3 of web selects no pod",
        {"beta", "canary"},
    ),
    "replicas": (
        (
            "spec: {template: {metadata: {labels: {app: web, version: v2}}}}",
            "spec: {replicas: 0, template: {metadata: {labels: {app: web, version: v2}}}}",
        ),
        "subset v2 of web selects no pod",
        {"beta", "canary"},
    ),
    "port": (
        (REST, REST.replace("host: web", "host: web, port: {number: 81}")),
        "web has no port 81",
        {"rest"},
    ),
    "third namespace": (
        (
            "metadata: {name: web}\nspec:\n  host: web\n",
            "metadata: {name: web, namespace: bank}\n"
            "spec:\n  host: web.default.svc.cluster.local\n",
        ),
        "callers of namespace default see no DestinationRule with the subset of web",
        {"beta", "canary"},
    ),
    "sidecar": (
        (REST, f"{REST}\n{write_sidecar('default', 'bank/*', 'istio-system/*')}"),
        "a Sidecar hides web.default.svc.cluster.local, or the rule for it, from callers of",
        {"beta", "canary", "rest"},
    ),
    "mirror": (
        (REST, f"{REST}\n    mirror: {{host: wbe}}"),
        "no Service has the host wbe.default.",
        {"rest"},
    ),
}


def write_shop(folder: Path, defect: str = "") -> Path:
    (old, new), _, _ = DEFECTS.get(defect, (("", ""), "", set()))
    path = folder / "shop.yaml"
    assert old in SHOP
    path.write_text(SHOP.replace(old, new) if old else SHOP)
    return path


def test_the_shop_without_a_defect_has_no_dead_end(tmp_path: Path) -> None:
    user_rules = loading.load([str(write_shop(tmp_path))])
    assert not [case for case in user_rules.plan.cases if case.dead_ends]
    assert user_rules.world_notes == ()


@pytest.mark.parametrize(
    ("defect", "kind", "share"),
    [
        ("typo", DeadEndKind.SERVICE, 1.0),
        ("selector", DeadEndKind.PODS, 1.0),
        ("subset", DeadEndKind.SUBSET, 0.1),
        ("replicas", DeadEndKind.SUBSET, 0.1),
        ("port", DeadEndKind.PORT, 1.0),
        ("third namespace", DeadEndKind.SUBSET_RULE, 1.0),
        ("sidecar", DeadEndKind.IMPORT, 1.0),
        ("mirror", DeadEndKind.SERVICE, 1.0),
    ],
)
def test_the_oracle_knows_each_dead_end_with_its_share(
    defect: str, kind: DeadEndKind, share: float, tmp_path: Path
) -> None:
    user_rules = loading.load([str(write_shop(tmp_path, defect))])
    dead_ends = [dead_end for case in user_rules.plan.cases for dead_end in case.dead_ends]
    assert {dead_end.kind for dead_end in dead_ends} == {kind}
    assert min(dead_end.share for dead_end in dead_ends) == share
    assert any(dead_end.is_mirror for dead_end in dead_ends) == (defect == "mirror")


@pytest.mark.local
def test_the_shop_without_a_defect_is_green(meshproof: Run, tmp_path: Path) -> None:
    write_shop(tmp_path)
    ended = meshproof("test", "--rules", "shop.yaml")
    assert ended.code == 0, ended.output
    assert "stood in" not in ended.output


@pytest.mark.local
@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_red_as_one_cause(meshproof: Run, defect: str, tmp_path: Path) -> None:
    write_shop(tmp_path, defect)
    _, cause, routes = DEFECTS[defect]
    ended = meshproof("test", "--rules", "shop.yaml")
    assert ended.code == 1, ended.output
    failed = [result for result in ended.all_results if result.outcome != "passed"]
    assert {result.outcome for result in failed} == {"failed"}
    assert {result.route for result in failed} - {""} == routes
    causes = {result.failure.root_cause for result in failed}
    assert len(causes) == 1
    assert causes.pop().what.startswith(cause)
    shares = {result.failure.broken_share for result in failed if result.route == "canary"}
    of_all = defect in ("selector", "third namespace", "sidecar")
    assert shares == ({1.0 if of_all else 0.1} if "canary" in routes else set())


DENY_ALL = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {}
"""
DEAD_ROUTE = """\
  - name: dead
    match: [{uri: {prefix: /x}}]
    route: [{destination: {host: web}}]
"""
#: What is added to the shop -> words of the verdict. Every request is answered as the rules say.
NOT_GREEN = {
    DEAD_ROUTE: ("route 4 'dead' of web is unreached", "no request reaches 1 route"),
    DENY_ALL: ("AuthorizationPolicy default/deny", "1 object of the rules is not supported"),
}


@pytest.mark.local
@pytest.mark.parametrize("added", NOT_GREEN, ids=["unreached route", "deny all"])
def test_what_no_request_can_show_is_not_green(added: str, meshproof: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP + added)
    ended = meshproof("test", "--rules", "shop.yaml", "-v")
    output = " ".join(ended.output.split())
    assert ended.code == 3, ended.output
    for words in NOT_GREEN[added]:
        assert words in output, ended.output


@pytest.mark.local
def test_a_split_between_one_service_and_itself_is_named(meshproof: Run, tmp_path: Path) -> None:
    route = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  rules:
  - backendRefs: [{name: web, port: 80, weight: 90}, {name: web, port: 80, weight: 10}]
"""
    (tmp_path / "shop.yaml").write_text(SHOP[: SHOP.index("apiVersion: networking")] + route)
    ended = meshproof("test", "--rules", "shop.yaml")
    output = " ".join(ended.output.split())
    assert "MP0611" in output, ended.output
    assert "not proven: its split: all 2 of its destinations are web" in output


RULES = SHOP[SHOP.index("apiVersion: networking") :]
INVENTORY = SHOP[: SHOP.index("apiVersion: networking")]


def test_services_of_another_folder_are_taken_by_inventory(tmp_path: Path) -> None:
    rules, folder = tmp_path / "rules.yaml", tmp_path / "elsewhere"
    folder.mkdir()
    rules.write_text(RULES.replace(REST, REST.replace("web", "wbe")))
    (folder / "app.yaml").write_text(INVENTORY)
    (alone,) = loading.load([str(rules)]).world_notes
    assert alone == (
        "stood in for by echo workloads, as no Service of namespace default is known: "
        "web.default, wbe.default"
    )
    user_rules = loading.load([str(rules)], inventory_paths=[str(folder)])
    kinds = {dead_end.kind for case in user_rules.plan.cases for dead_end in case.dead_ends}
    assert kinds == {DeadEndKind.SERVICE}
    assert len(user_rules.rules.tables) == 1


def test_what_of_an_inventory_cannot_be_read_is_named_and_may_have_all(tmp_path: Path) -> None:
    rules, folder = tmp_path / "rules.yaml", tmp_path / "elsewhere"
    folder.mkdir()
    rules.write_text(RULES.replace(REST, REST.replace("web", "wbe")))
    (folder / "app.yaml").write_text(INVENTORY)
    (folder / "more.yaml").write_text("kind: {{ .Values.kind }\n")
    user_rules = loading.load([str(rules)], inventory_paths=[str(folder)])
    assert not [case for case in user_rules.plan.cases if case.dead_ends]
    assert any("more.yaml" in note for note in user_rules.world_notes)


def test_plan_names_the_dead_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules, app = tmp_path / "rules.yaml", tmp_path / "app.yaml"
    rules.write_text(RULES.replace(REST, REST.replace("web", "wbe")))
    app.write_text(INVENTORY)
    assert cli.main(["plan", str(rules), "--inventory", str(app)]) == 1
    captured = capsys.readouterr()
    assert "      will fail: no Service has the host wbe.default.svc" in captured.out
    assert "cases will fail" in captured.err
    cli.main(["plan", str(rules), "--inventory", str(app), "-o", "json"])
    plan = json.loads(capsys.readouterr().out)
    assert any(case["dead_ends"] for case in plan["cases"])


TWINS = """\
apiVersion: v1
kind: Service
metadata: {name: shop-stable}
spec: {selector: {app: shop}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop-canary}
spec: {selector: {app: shop}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop-stable]
  http:
  - route:
    - {destination: {host: shop-stable}, weight: 100}
    - {destination: {host: shop-canary}, weight: 0}
"""
EVERY_POD = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  subsets: [{name: everyone, labels: {app: cart}}, {name: v3, labels: {version: v3}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec:
  hosts: [cart]
  http:
  - match: [{headers: {end-user: {exact: burr}}}]
    route: [{destination: {host: cart, subset: v3}}]
  - route: [{destination: {host: cart, subset: everyone}}]
"""
CART = """\
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
"""
OUTSIDE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog, shop.example]
  http:
  - route:
    - {destination: {host: catalog}, weight: 100}
    - {destination: {host: catalog.default.global}, weight: 0}
"""


NO_RETRIES = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart}
spec:
  parentRefs: [{group: "", kind: Service, name: cart, port: 80}]
  rules:
  - retry: {attempts: 0}
    timeouts: {backendRequest: 1s}
    backendRefs: [{name: cart, port: 80}]
"""


@pytest.mark.local
@pytest.mark.parametrize(
    ("text", "note"),
    [
        (NO_RETRIES, "the perTryTimeout of 1 s: without retries Istio ignores it"),
        (TWINS, "no workload of namespace default is known: shop-stable.default"),
        (EVERY_POD, "no Service of namespace default is known: cart.default"),
        (EVERY_POD + CART, "no workload of namespace default is known: cart.default"),
        (OUTSIDE, "no Service of namespace default is known: catalog.default"),
    ],
    ids=[
        "try without retries",
        "services of one selector",
        "subset of every pod",
        "the same by a Service",
        "outside",
    ],
)
def test_right_rules_are_green_and_say_what_is_stood_in_for(
    meshproof: Run, text: str, note: str, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == 0, ended.output
    assert note in " ".join(ended.output.split())


def test_a_subset_that_two_rules_define_without_an_age_is_not_supported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Istio takes it: no broken promise, but one that no file decides."""
    rules = tmp_path / "rules.yaml"
    destination_rule = EVERY_POD.partition("---")[0]
    other = destination_rule.replace("{name: cart}", "{name: other}").replace("v3}", "v4}")
    rules.write_text(f"{EVERY_POD}---\n{other}")
    assert cli.main(["plan", str(rules), "--no-lint"]) == 3
    captured = capsys.readouterr()
    assert "which of them holds is not specified" in captured.out + captured.err


ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  template: {metadata: {labels: {app: web}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}}}}}
---
"""


def test_pods_of_kinds_that_others_define_answer_beside_the_rules(tmp_path: Path) -> None:
    """Its pods may have further labels: neither red, nor without a word."""
    start = SHOP.index("apiVersion: apps/v1")
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP[:start] + ROLLOUT + RULES)
    user_rules = loading.load([str(path)])
    assert not [case for case in user_rules.plan.cases if case.dead_ends]
    assert user_rules.world_notes == (
        "stood in for by echo workloads, as the pods of Rollout web may have more labels than its "
        "file: web.default v2, web.default v1",
    )


OTHER_LABELS = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: own, namespace: bank}
spec:
  host: web.default.svc.cluster.local
  subsets: [{name: v1, labels: {version: V1}}, {name: v2, labels: {version: v1}}]
"""


@pytest.mark.local
@pytest.mark.parametrize(("version", "code"), [("v2", 0), ("v3", 1)])
def test_callers_get_the_labels_of_their_own_destination_rule(
    meshproof: Run, version: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP + OTHER_LABELS.replace("V1", version))
    ended = meshproof("test", "--rules", "shop.yaml")
    assert ended.code == code, ended.output
    beta = "web: x-beta true -> v2", "web: x-beta true from namespace bank -> v1"
    outcomes = {result.promise: result.outcome for result in ended.all_results}
    assert [outcomes[name] for name in beta] == ["passed", "passed"]
    failed = [result for result in ended.all_results if result.outcome == "failed"]
    assert {result.route for result in failed} == ({"canary"} if code else set())
