"""A subset is resolved to the labels that it stands for; one that nothing defines is refused."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
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


def subsets(host: str, entries: str, name: str = "reviews") -> str:
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}, namespace: shop}}\n"
        f"spec: {{host: {host}, subsets: [{entries}]}}\n"
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


def test_one_that_is_defined_twice() -> None:
    text = TEXT + subsets("reviews", "{name: stable, labels: {a: b}}")
    text += subsets("reviews", "{name: stable, labels: {a: c}}", name="more")
    with pytest.raises(BadRules, match=r"^r\.yaml:16:40: subset 'stable' of .* is defined twice$"):
        target(text)


def test_names_with_a_dot_are_not_made_longer() -> None:
    # `reviews.shop` is no name of the service in Istio's rules, although DNS resolves it.
    with pytest.raises(BadRules, match=r"subset 'stable' of reviews\.shop is not defined"):
        target(TEXT.replace("host: reviews,", "host: reviews.shop,"))
