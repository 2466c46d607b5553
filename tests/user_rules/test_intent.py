"""Intent: what is meant is asked on real Envoys, and rules that say otherwise are red."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshproof.base.errors import BadRules
from meshproof.cli import main
from meshproof.user_rules import intent, loading
from tests import ROOT
from tests.user_rules.shop_texts import GATEWAY

#: Without stubs, as the package has none.
jsonschema: Any = importlib.import_module("jsonschema")
SCHEMA = json.loads((ROOT / "docs/reference/intent.schema.json").read_text())
RULES = (
    GATEWAY
    + """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - name: old
    match: [{uri: {exact: /old}}]
    redirect: {uri: /cart}
  - name: beta
    match: [{uri: {prefix: /cart}, headers: {x-beta: {exact: "true"}}}]
    route: [{destination: {host: cart, subset: v2}}]
  - name: canary
    match: [{uri: {prefix: /cart}}]
    route:
    - {destination: {host: cart, subset: v1}, weight: 90}
    - {destination: {host: cart, subset: v2}, weight: 10}
"""
)
INTENT = """\
intent:
- name: beta testers see v2
  request: {host: shop.example, path: /cart, headers: {x-beta: "true"}}
  to: cart v2
- name: canary is a tenth
  request: {host: shop.example, path: /cart}
  to: {cart v1: 90, cart v2: 10}
- name: old links move
  request: {host: shop.example, path: /old}
  status: 301
  redirect: http://shop.example/cart
- name: nothing else is served
  request: {host: shop.example, path: /admin}
  status: 404
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(RULES)
    (tmp_path / "meshproof.yaml").write_text(INTENT)
    return tmp_path


def read_problem(folder: Path, text: str) -> str:
    """Return what is wrong with an intent file; the schema finds the shape wrong, too."""
    (folder / "meshproof.yaml").write_text(text)
    with pytest.raises(BadRules) as refused:
        loading.load([str(folder)])
    return str(refused.value)


def test_expectations_become_cases_with_both_places(folder: Path) -> None:
    user_rules = loading.load([str(folder)])
    titles = [case.title for case in user_rules.plan.cases if case.id.startswith("intent: ")]
    assert titles[1] == (
        f"intent 'canary is a tenth' at {folder}/meshproof.yaml:5: cart v1 90 %, cart v2 10 %; "
        f"the route at {folder}/shop.yaml:28 decides"
    )
    assert titles[3].endswith("404; no route takes it")
    assert user_rules.notes[-1] == "intent: expectations are about 3 of 3 routes"


def test_routes_that_no_expectation_touches_are_named(folder: Path) -> None:
    (folder / "meshproof.yaml").write_text(INTENT.partition("- name: canary")[0])
    *_, note = loading.load([str(folder)]).notes
    assert "about 1 of 3 routes; none is about route 1 'old' of shop" in note


def test_routes_without_an_expectation_fail_a_plan_that_asks_for_more(
    folder: Path, capsys: Any
) -> None:
    assert main(["plan", str(folder), "--no-lint", "--fail-under", "100"]) == 0
    capsys.readouterr()
    (folder / "meshproof.yaml").write_text(INTENT.partition("- name: canary")[0])
    assert main(["plan", str(folder), "--no-lint", "--fail-under", "34"]) == 1
    message = "an expectation is about 33.33 % of the routes, less than --fail-under 34"
    assert message in capsys.readouterr().err
    assert main(["plan", str(folder), "--no-lint", "--fail-under", "33"]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("intnet: []", "unknown key 'intnet'; did you mean 'intent'?"),
        ("intent: [{name: a, request: {hots: x}, to: cart}]", "did you mean 'host'?"),
        ("intent: [{name: a, request: {host: x}}]", "expected one of 'to', 'status', 'redirect'"),
        ("intent: [{name: a, request: {host: x}, to: cart, status: 404}]", "either 'to', or"),
        ("intent: [{name: a, request: {host: x, path: cart}, to: c}]", "begins with /"),
        ("intent: [{name: a, request: {host: x}, to: c, headers: {x-a: 1}}]", "expected text"),
        ("intent: [{name: a, request: {host: x}, status: 404, headers: {a: b}}]", "nowhere"),
        ("intent: [{name: a, request: {host: x}, to: {cart: 0}}]", "not all 0"),
        ("intent: [{name: a, request: {host: x}, to: {cart: many}}]", "a number from 0 to"),
        ("intent: [{name: a, request: {host: x}, to: c, tolerance: 2}]", "from 0.001 to 0.999"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_nearest_word(
    folder: Path, text: str, words: str
) -> None:
    problem = read_problem(folder, text)
    assert problem.startswith(f"{folder}/meshproof.yaml:1:")
    assert words in problem
    if "not all 0" not in words:  # a sum is beyond JSON Schema
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{host: shop.exmaple}, to: cart", "did you mean 'shop.example'?"),
        ("{host: shop.example, path: /cart}, to: cart v3", "did you mean 'cart v2'?"),
        ("{host: cart, from: shop/web}, to: cart", "--from shop/web: no workload here"),
    ],
)
def test_a_request_or_destination_that_is_not_there_is_named(
    folder: Path, line: str, words: str
) -> None:
    assert words in read_problem(folder, f"intent: [{{name: a, request: {line}}}]")


def test_two_expectations_of_one_name_are_refused(folder: Path) -> None:
    twice = INTENT.replace("canary is a tenth", "beta testers see v2")
    assert "'beta testers see v2' stands twice" in read_problem(folder, twice)


def test_the_schema_has_every_key_of_the_reader() -> None:
    jsonschema.validate(yaml.safe_load(INTENT), SCHEMA)
    properties = SCHEMA["properties"]["intent"]["items"]["properties"]
    assert tuple(properties) == intent.KEYS
    assert tuple(properties["request"]["properties"]) == intent.REQUEST_KEYS


def test_a_first_file_of_the_rules_holds_for_them(folder: Path, capsys: Any) -> None:
    (folder / "meshproof.yaml").unlink()
    assert main(["intent", "init", str(folder)]) == 0
    text = capsys.readouterr().out
    expectations = yaml.safe_load(text)
    jsonschema.validate(expectations, SCHEMA)
    assert len(expectations["intent"]) == 4
    (folder / "meshproof.yaml").write_text(text)
    cases = loading.load([str(folder)]).plan.cases
    derived = {case.call: case for case in cases if not case.id.startswith("intent: ")}
    for case in (case for case in cases if case.id.startswith("intent: ")):
        expected = derived[case.call]
        assert (set(case.shares), case.status) == (set(expected.shares), expected.status)
        assert case.route_index == expected.route_index


def test_a_first_file_names_each_expectation_once(folder: Path, capsys: Any) -> None:
    second = "{name: a, match: [{uri: {exact: /b}}], route: [{destination: {host: cart}}]}"
    head, _, _ = RULES.partition("  http:")
    text = f"{head}  http: [{second.replace('/b', '/a')}, {second}]\n"
    (folder / "shop.yaml").write_text(text)
    (folder / "meshproof.yaml").unlink()
    assert main(["intent", "init", str(folder)]) == 0
    expectations = yaml.safe_load(capsys.readouterr().out)["intent"]
    names = [expectation["name"] for expectation in expectations]
    assert len(set(names)) == len(names) == 3
    assert sum("to" in expectation for expectation in expectations) == 2


def test_a_first_file_has_the_weights_as_they_are_written(folder: Path, capsys: Any) -> None:
    (folder / "meshproof.yaml").unlink()
    assert main(["intent", "init", str(folder)]) == 0
    assert "    cart v1: 90\n    cart v2: 10\n" in capsys.readouterr().out


@pytest.mark.local
def test_rules_that_say_otherwise_are_red_and_right_ones_green(
    folder: Path, meshproof: Callable[..., Any]
) -> None:
    ended = meshproof("test", "--rules", str(folder), "-k", "intent", "--alpha", "1e-7")
    assert ended.code == 0, ended.output
    assert sum(result.promise.startswith("intent: ") for result in ended.all_results) == 4
    wrong = RULES.replace("weight: 90", "weight: X").replace("weight: 10", "weight: 90")
    wrong = wrong.replace("weight: X", "weight: 10").replace('exact: "true"', 'exact: "yes"')
    (folder / "shop.yaml").write_text(wrong)
    ended = meshproof("test", "--rules", str(folder))
    assert ended.code == 1, ended.output
    assert ended.list_failed() == [
        "intent: beta testers see v2 -> cart v2",
        "intent: canary is a tenth -> cart v1 90 %, cart v2 10 %",
    ]


HEADER_RULES = f"""{RULES.partition("  - name: beta")[0]}\
  - name: api
    match: [{{uri: {{prefix: /api}}}}]
    headers:
      request: {{set: {{x-tier: gold}}, remove: [x-debug]}}
      response: {{set: {{x-from: api}}}}
    mirror: {{host: audit}}
    route: [{{destination: {{host: cart, subset: v1}}}}]
"""
HEADER_INTENT = """\
intent:
- name: the tier is known
  request: {host: shop.example, path: /api, headers: {x-debug: "1"}}
  to: cart v1
  headers: {X-Tier: gold, x-debug: null}
  response_headers: {x-from: api}
- name: an audit sees it
  request: {host: shop.example, path: /api}
  to: cart v1
  mirror: audit
- name: old links move
  request: {host: shop.example, path: /old}
  redirect: http://shop.example/cart
  response_headers: {x-from: null}
"""


@pytest.mark.local
def test_headers_and_copies_are_judged_as_they_are_meant(
    folder: Path, meshproof: Callable[..., Any]
) -> None:
    (folder / "shop.yaml").write_text(HEADER_RULES)
    (folder / "meshproof.yaml").write_text(HEADER_INTENT)
    ended = meshproof("test", "--rules", str(folder), "-k", "intent")
    assert ended.code == 0, ended.output
    wrong = HEADER_RULES.replace("gold", "silver").replace("    mirror: {host: audit}\n", "")
    (folder / "shop.yaml").write_text(f"{wrong}  - route: [{{destination: {{host: audit}}}}]\n")
    ended = meshproof("test", "--rules", str(folder), "-k", "intent")
    assert ended.list_failed() == [
        "intent: the tier is known -> cart v1",
        "intent: an audit sees it -> cart v1",
    ]
    assert "x-tier arrived as 'silver', not 'gold'" in " ".join(ended.output.split())


def test_a_subset_of_a_route_keeps_its_words_beside_another_rule_of_its_name(
    folder: Path,
) -> None:
    hidden = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: other}
spec:
  host: cart.shop.svc.cluster.local
  exportTo: ["."]
  subsets: [{name: v2, labels: {release: stable}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: namesake, namespace: other}
spec:
  host: cart
  subsets: [{name: v2, labels: {version: v2}}]
"""
    (folder / "shop.yaml").write_text(RULES + hidden)
    (folder / "meshproof.yaml").write_text(
        INTENT + "- {name: any, request: {host: shop.example, path: /cart}, to: cart}\n"
    )
    cases = {case.id: case for case in loading.load([str(folder)]).plan.cases}
    ((destination, _),) = cases["intent: beta testers see v2 -> cart v2"].shares
    assert destination.labels == (("version", "v2"),)
    assert "intent: any -> cart" in " ".join(cases)


@pytest.mark.local
@pytest.mark.parametrize(
    ("to", "observed"),
    [("cart v3", "cart.shop.v"), ("{cart v1: 90, cart v3: 10}", "cart v3")],
    ids=["alone", "share"],
)
def test_a_subset_that_no_route_sends_to_is_an_unmet_expectation(
    meshproof: Callable[..., Any], tmp_path: Path, to: str, observed: str
) -> None:
    defined = "{name: v2, labels: {version: v2}}"
    third = defined.replace("v2", "v3")
    (tmp_path / "shop.yaml").write_text(RULES.replace(defined, f"{defined}, {third}"))
    request = "{host: shop.example, path: /cart}"
    (tmp_path / "meshproof.yaml").write_text(
        f"intent:\n- {{name: a third one, request: {request}, to: {to}}}\n"
    )
    ended = meshproof("test", "--rules", str(tmp_path))
    assert ended.code == 1, ended.output
    (failed,) = ended.list_failed()
    assert failed.startswith("intent: a third one -> cart v")
    assert observed in ended.results[failed].message
