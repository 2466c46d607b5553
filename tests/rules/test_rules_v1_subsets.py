"""A subset is resolved to the labels that it stands for; one that nothing defines is refused."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules, Unsupported
from meshproof.documents import manifest
from meshproof.rules.model import Target

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: stable}}]}]
"""


def subsets(
    host: str,
    entries: str,
    name: str = "reviews",
    *,
    made: str = "",
    export: str = "",
    namespace: str = "shop",
) -> str:
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}, namespace: {namespace}{made}}}\n"
        f"spec: {{host: '{host}', subsets: [{entries}]{export}}}\n"
    )


def target(text: str) -> Target:
    (table,) = rules.read_rules(manifest.parse(text, "r.yaml")).tables
    return table.routes[0].split[0]


def test_resolved_to_labels_whatever_the_name() -> None:
    parsed = target(TEXT + subsets("reviews", "{name: stable, labels: {version: v1, zone: a}}"))
    assert parsed.labels == (("version", "v1"), ("zone", "a"))
    assert parsed.subset == "version=v1,zone=a"


def test_a_version_alone_names_the_subset() -> None:
    parsed = target(TEXT + subsets("reviews", "{name: stable, labels: {version: v1}}"))
    assert parsed.subset == "v1"


def test_the_host_may_be_written_in_full() -> None:
    full = "reviews.shop.svc.cluster.local"
    assert target(TEXT + subsets(full, "{name: stable, labels: {version: v1}}")).subset == "v1"


def test_several_destination_rules_add_up() -> None:
    text = TEXT + subsets("reviews", "{name: a, labels: {version: v2}}")
    text += subsets("reviews", "{name: stable, labels: {version: v1}}", name="more")
    assert target(text).subset == "v1"


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ("", "defined: none"),
        (
            subsets("reviews", "{name: stabel, labels: {a: b}}, {name: new, labels: {a: c}}"),
            "defined: new, stabel; did you mean 'stabel'?",
        ),
        (subsets("ratings", "{name: stable, labels: {a: b}}"), "defined: none"),
    ],
    ids=["no rule", "another name", "another host"],
)
def test_one_that_nothing_defines(definitions: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        target(TEXT + definitions)
    assert str(error.value) == (
        "r.yaml:6:57: subset 'stable' of reviews.shop.svc.cluster.local is not defined by any "
        f"DestinationRule; {message}"
    )


OLD, NEW = (f', creationTimestamp: "2026-0{month}-01T00:00:00Z"' for month in (1, 2))
FIRST, SECOND = "{name: stable, labels: {a: b}}", "{name: stable, labels: {a: c}}"


def test_one_that_is_defined_twice_in_one_rule() -> None:
    with pytest.raises(BadRules, match=r"^r\.yaml:11:74: subset 'stable' of .* is defined twice$"):
        target(TEXT + subsets("reviews", f"{FIRST}, {SECOND}"))


def test_one_that_two_rules_define_without_an_age() -> None:
    text = TEXT + subsets("reviews", FIRST) + subsets("reviews", SECOND, name="more")
    with pytest.raises(Unsupported, match=r"which of them holds is not specified: the older one"):
        target(text)
    assert target(text.replace("{a: c}", "{a: b}")).labels == (("a", "b"),)


def test_of_two_definitions_the_older_one_holds() -> None:
    for made, other_made, value in ((OLD, NEW, "b"), (NEW, OLD, "c")):
        text = TEXT + subsets("reviews", FIRST, made=made)
        text += subsets("reviews", SECOND, name="more", made=other_made)
        assert target(text).labels == (("a", value),)


def test_rules_that_are_exported_otherwise_stay_apart() -> None:
    text = TEXT + subsets("reviews", FIRST, made=OLD)
    text += subsets("reviews", SECOND, name="more", made=NEW, export=", exportTo: [.]")
    read = rules.read_rules(manifest.parse(text, "r.yaml")).destination_rules
    assert [(rule.export_to, rule.subsets) for rule in read] == [
        ((), (("stable", (("a", "b"),)),)),
        (("shop",), (("stable", (("a", "c"),)),)),
    ]
    with pytest.raises(Unsupported, match="exported otherwise; which of them holds is not spec"):
        target(text.replace(OLD, "").replace(NEW, ""))


def test_the_namespace_of_the_service_says_what_a_subset_is() -> None:
    full = "reviews.shop.svc.cluster.local"
    text = TEXT + subsets(full, SECOND, namespace="bank") + subsets(full, FIRST)
    assert target(text).labels == (("a", "b"),)
    assert target(TEXT + subsets(full, SECOND, namespace="bank")).labels == (("a", "c"),)


@pytest.mark.parametrize("host", ["*.shop.svc.cluster.local", "*.local", "*"])
def test_a_wildcard_defines_the_subsets_of_the_services_below_it(host: str) -> None:
    assert target(TEXT + subsets(host, FIRST)).labels == (("a", "b"),)


def test_names_with_a_dot_are_not_made_longer() -> None:
    # `reviews.shop` is no name of the service in Istio's rules, although DNS resolves it.
    with pytest.raises(BadRules, match=r"subset 'stable' of reviews\.shop is not defined"):
        target(TEXT.replace("host: reviews,", "host: reviews.shop,"))
