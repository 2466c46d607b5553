"""The user's own files, as written: the reader stops at the first defect of each, by its line.

The files are exact copies; what lint finds in them is in tests/lint/test_seed.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.mesh.envoy import topology
from meshproof.rules.model import RuleSet

SEED = Path(__file__).parent / "seed"
BURR, V3, ORDERS, DEPLOYMENT = (
    "route-rule-reviews-burr-v3.yaml",
    "route-rule-reviews-v3.yaml",
    "route-rule-sock-shop-orders.yaml",
    "orders-test.yaml",
)
#: Defects in the order in which a user meets them: what the reader says, and the repair.
DEFECTS: dict[str, list[tuple[str, str, str]]] = {
    BURR: [
        (
            "1:1: the document: 'apiVersion' is missing; is 'apiversion' a misspelling of it?",
            "apiversion:",
            "apiVersion:",
        ),
        (
            "9:5: spec.match.httpHeaders: 'httpHeaders' is the spelling of an earlier version; "
            "today it is 'request.headers'",
            "    httpHeaders:\n      cookie:\n        regex:",
            "    request:\n     headers:\n      cookie:\n        regex:",
        ),
        (
            "13:3: spec.percendence: unknown key 'percendence'; did you mean 'precedence'?",
            "percendence",
            "precedence",
        ),
    ],
    V3: [],
    ORDERS: [
        (
            "1:1: the document: 'apiVersion' is missing",
            "metadata:",
            "apiVersion: config.istio.io/v1alpha2\nmetadata:",
        ),
        ("1:1: the document: 'kind' is missing", "metadata:", "kind: RouteRule\nmetadata:"),
    ],
}


def text(file: str) -> str:
    return (SEED / file).read_text()


def read(content: str, file: str) -> RuleSet:
    return rules.read_rules(manifest.parse(content, file))


def repaired(file: str) -> str:
    repaired_text = text(file)
    for _, bad, good in DEFECTS[file]:
        repaired_text = repaired_text.replace(bad, good, 1)
    return repaired_text


@pytest.mark.parametrize("file", DEFECTS)
def test_each_defect_is_told_by_its_line_until_none_is_left(file: str) -> None:
    content = text(file)
    for message, bad, good in DEFECTS[file]:
        with pytest.raises(BadRules) as error:
            read(content, file)
        assert str(error.value) == f"{file}:{message}"
        assert content.count(bad) == 1
        content = content.replace(bad, good)
    (table,) = read(content, file).tables
    assert table.routes


def test_repaired_the_files_route_as_meant() -> None:
    burr, v3, orders = (read(repaired(file), file).tables[0] for file in (BURR, V3, ORDERS))
    assert [target.subset for target in burr.routes[0].split] == ["v3"]
    assert burr.routes[0].matches[0].headers[0][1].value == "^(.*?;)?(user=burr)(;.*)?$"
    assert v3.routes[0].shares() == {"v3": 1.0}
    assert orders.hosts == ("orders.sock-shop.svc.cluster.local",)
    assert orders.routes[0].shares() == {"v2": 0.5, "v1": 0.5}


def test_the_second_rule_of_one_name_would_replace_the_first() -> None:
    documents = [
        document for file in (BURR, V3) for document in manifest.parse(repaired(file), file)
    ]
    with pytest.raises(BadRules) as error:
        rules.read_rules(documents)
    assert str(error.value) == (
        f"{V3}:1:1: two objects of kind RouteRule are named 'reviews-default'; "
        f"this one would replace the one at {BURR}:1"
    )


def test_renamed_both_hold_burr_first() -> None:
    burr = repaired(BURR).replace("name: reviews-default", "name: reviews-burr")
    documents = [*manifest.parse(repaired(V3), V3), *manifest.parse(burr, BURR)]
    (table,) = rules.read_rules(documents).tables
    assert [route.name for route in table.routes] == ["reviews-burr", "reviews-default"]


def test_the_deployment_is_of_an_api_that_is_gone() -> None:
    with pytest.raises(BadRules) as error:
        topology.read_topology(manifest.parse(text(DEPLOYMENT), DEPLOYMENT))
    assert str(error.value) == (
        f"{DEPLOYMENT}:1:1: Deployment of extensions/v1beta1 is not an object that the local mesh "
        "can stand up (it takes Service of v1 and Deployment of apps/v1)"
    )


def test_with_the_api_of_today_it_lacks_a_selector() -> None:
    content = text(DEPLOYMENT).replace("extensions/v1beta1", "apps/v1")
    with pytest.raises(BadRules) as error:
        topology.read_topology(manifest.parse(content, DEPLOYMENT))
    assert str(error.value) == f"{DEPLOYMENT}:7:3: spec: 'selector' is missing"
