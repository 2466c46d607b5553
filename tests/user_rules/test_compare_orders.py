"""`compare` where nothing says which of several rules of a host decides: no change is overlooked.

istiod takes the older rule of a mesh host alone, and files do not say how old a rule is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from tests.user_rules.shop_texts import GATEWAY

#: Another rule, whose cases make the plan one that is not empty.
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: entry, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - route: [{destination: {host: web}}]
---
"""


def write_rule(name: str, subset: str, head: str = "", path: str = "/") -> str:
    """Return a rule of the mesh host `cart`, or of what `head` says."""
    head = head or "hosts: [cart]"
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  {head}
  http:
  - match: [{{uri: {{prefix: {path}}}}}]
    route: [{{destination: {{host: cart, subset: {subset}}}}}]
---
"""


def compare(folder: Path, capsys: Any, before: str, after: str) -> tuple[int, list[list[str]]]:
    """Return the exit code and, for each change, its request and both answers."""
    (folder / "a.yaml").write_text(before)
    (folder / "b.yaml").write_text(after)
    paths = str(folder / "a.yaml"), str(folder / "b.yaml")
    code = main(["compare", *paths, "--no-send", "-o", "json"])
    report = json.loads(capsys.readouterr().out)
    return code, [
        [change["request"], change["before"]["answer"], change["after"]["answer"]]
        for change in report["changes"]
    ]


@pytest.mark.parametrize("others", [ENTRY, ""], ids=["beside another host", "alone"])
@pytest.mark.parametrize("changed", ["old", "new"])
def test_a_change_of_either_rule_of_one_mesh_host_is_found(
    tmp_path: Path, capsys: Any, changed: str, others: str
) -> None:
    rules = {name: write_rule(name, "v1") for name in ("old", "new")}
    before = GATEWAY + others + "".join(rules.values())
    assert compare(tmp_path, capsys, before, before) == (0, [])
    rules[changed] = write_rule(changed, "v2")
    after = GATEWAY + others + "".join(rules.values())
    (other,) = {"old", "new"} - {changed}
    condition = f"if shop/{changed} is older than shop/{other}"
    for sides, subsets in (((before, after), ("v1", "v2")), ((after, before), ("v2", "v1"))):
        code, changes = compare(tmp_path, capsys, *sides)
        assert code == 1
        request, *answers = changes[0]
        assert request.startswith("GET cart.shop")
        assert answers == [f"cart {subset} {condition}" for subset in subsets]


def test_each_of_three_rules_of_one_host_is_once_the_oldest(tmp_path: Path, capsys: Any) -> None:
    rules = [write_rule(name, "v1") for name in ("a", "b", "c")]
    changed = [rules[0], write_rule("b", "v2"), rules[2]]
    code, changes = compare(tmp_path, capsys, GATEWAY + "".join(rules), GATEWAY + "".join(changed))
    assert code == 1
    assert {change[1] for change in changes} == {
        "cart v1 if shop/b is older than shop/a and shop/c"
    }


def test_a_rule_that_is_new_on_one_side_may_be_the_older_one(tmp_path: Path, capsys: Any) -> None:
    before = GATEWAY + write_rule("a", "v1")
    code, changes = compare(tmp_path, capsys, before, before + write_rule("b", "v2"))
    assert code == 1
    assert changes[0][1:] == [f"cart {v} if shop/b is older than shop/a" for v in ("v1", "v2")]


def test_the_ages_that_one_side_says_hold_on_both(tmp_path: Path, capsys: Any) -> None:
    def date(rule: str, year: int) -> str:
        made = f'namespace: shop, creationTimestamp: "{year}-01-01T00:00:00Z"'
        return rule.replace("namespace: shop", made, 1)

    old, new = write_rule("old", "v1"), write_rule("new", "v1")
    before = GATEWAY + date(old, 2020) + date(new, 2021)
    code, changes = compare(tmp_path, capsys, before, GATEWAY + old + write_rule("new", "v2"))
    assert (code, changes) == (0, [])  # the younger one is not asked
    code, changes = compare(tmp_path, capsys, before, GATEWAY + write_rule("old", "v2") + new)
    assert code == 1
    assert changes[0][1:] == ["cart v1", "cart v2"]


@pytest.mark.parametrize("head", ["hosts: [shop.example]\n  gateways: [gw]"])
@pytest.mark.parametrize("changed", ["a", "b"])
def test_two_rules_of_a_gateway_for_the_same_requests_are_compared_in_either_order(
    tmp_path: Path, capsys: Any, head: str, changed: str
) -> None:
    rules = {name: write_rule(name, "v1", head, "/cart") for name in ("a", "b")}
    before = GATEWAY + "".join(rules.values())
    rules[changed] = write_rule(changed, "v2", head, "/cart")
    after = GATEWAY + "".join(rules.values())
    code, changes = compare(tmp_path, capsys, before, after)
    assert code == 1
    assert changes[0][0] == "GET shop.example/cart"
    assert changes[0][2].startswith(f"cart v2 if shop/{changed} is older than")


@pytest.mark.parametrize("changed", ["a", "b"])
@pytest.mark.parametrize(
    ("dated", "condition"),
    [
        ((), "if Gateway edge/{changed} is older than edge/{other}"),
        (
            ("a",),
            {
                "a": "if Gateway edge/b is younger than the others",
                "b": "if Gateway edge/b is older than the others",
            },
        ),
    ],
    ids=["none dated", "one dated"],
)
def test_rules_that_say_their_age_are_compared_in_either_order_of_their_gateways(
    tmp_path: Path, capsys: Any, dated: tuple[str, ...], condition: Any, changed: str
) -> None:
    def write(**subsets: str) -> str:
        texts = [GATEWAY]
        for name, subset in subsets.items():
            made = ', creationTimestamp: "2020-01-01T00:00:00Z"'
            head, _, _ = GATEWAY.partition("---")
            gateway_name = f"name: {name}, namespace: edge{made if name in dated else ''}"
            texts.append(head.replace("name: gw, namespace: shop", gateway_name) + "---\n")
            rule = write_rule(
                name, subset, f"hosts: [shop.example]\n  gateways: [edge/{name}]", "/cart"
            )
            texts.append(rule.replace("namespace: shop", f"namespace: shop{made}", 1))
        return "".join(texts)

    code, changes = compare(
        tmp_path, capsys, write(a="v1", b="v1"), write(**{"a": "v1", "b": "v1", changed: "v2"})
    )
    assert code == 1
    (other,) = {"a", "b"} - {changed}
    words = condition[changed] if dated else condition.format(changed=changed, other=other)
    assert changes[0] == ["GET shop.example/cart", f"cart v1 {words}", f"cart v2 {words}"]


def test_rules_from_which_no_request_follows_are_refused_with_the_reason(
    tmp_path: Path, capsys: Any
) -> None:
    shut = GATEWAY + write_rule("a", "v1", "hosts: [other.example]\n  gateways: [gw]")
    (tmp_path / "a.yaml").write_text(shut)
    assert main(["compare", str(tmp_path / "a.yaml"), str(tmp_path / "a.yaml"), "--no-send"]) == 65
    assert "serves none of the hosts other.example" in capsys.readouterr().err


@pytest.mark.local
def test_rules_whose_order_is_open_are_not_called_wrong_by_a_real_mesh(
    tmp_path: Path, capsys: Any
) -> None:
    rules = GATEWAY + write_rule("b", "v1") + write_rule("a", "v2")  # by name, a comes first
    (tmp_path / "a.yaml").write_text(rules)
    side = str(tmp_path / "a.yaml")
    assert main(["compare", side, side, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["meshes_that_differ"] == []
    assert main(["explain", side, "http://cart.shop/", "--send"]) == 0
