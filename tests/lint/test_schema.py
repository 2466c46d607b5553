"""The shapes: every file is read, every notation understood, every kind found under its groups."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from meshproof.documents import schema
from meshproof.documents.schema import Kind, Shape, find_closest_word, load_kind

KINDS = [(group, name) for group, names in schema.list_shaped_kinds().items() for name in names]
POINT_1 = (  # the kinds that the issue names, with their versions
    ("networking.istio.io", "VirtualService", {"v1", "v1beta1", "v1alpha3"}),
    ("networking.istio.io", "DestinationRule", {"v1", "v1beta1", "v1alpha3"}),
    ("networking.istio.io", "Gateway", {"v1", "v1beta1", "v1alpha3"}),
    ("networking.istio.io", "ServiceEntry", {"v1", "v1beta1", "v1alpha3"}),
    ("networking.istio.io", "Sidecar", {"v1", "v1beta1", "v1alpha3"}),
    ("security.istio.io", "PeerAuthentication", {"v1", "v1beta1"}),
    ("gateway.networking.k8s.io", "HTTPRoute", {"v1"}),
    ("gateway.networking.k8s.io", "GRPCRoute", {"v1"}),
    ("gateway.networking.k8s.io", "Gateway", {"v1"}),
    ("config.istio.io", "RouteRule", {"v1alpha2"}),
    ("config.istio.io", "DestinationPolicy", {"v1alpha2"}),
    ("config.istio.io", "EgressRule", {"v1alpha2"}),
    ("networking.k8s.io", "Ingress", {"v1"}),
    ("", "Service", {"v1"}),
    ("apps", "Deployment", {"v1"}),
)


def _kind(group: str, name: str) -> Kind:
    kind = load_kind(group, name)
    assert kind is not None
    return kind


def _shapes(shape: Shape, seen_ids: set[int]) -> list[Shape]:
    if id(shape) in seen_ids:
        return []
    seen_ids.add(id(shape))
    below = [*shape.keys.values(), *([shape.element] if shape.element else [])]
    return [shape, *(descendant for child in below for descendant in _shapes(child, seen_ids))]


@pytest.mark.parametrize(("group", "name"), KINDS, ids=lambda word: word or "core")
def test_every_file_is_a_shape(group: str, name: str) -> None:
    kind = _kind(group, name)
    assert kind.served_versions
    for shape in _shapes(kind.root, set()):
        listed_keys = {
            *shape.required_keys,
            *shape.nonempty_lists,
            *(key for group in shape.exclusive_keys for key in group),
        }
        assert listed_keys <= set(shape.keys), "a key is demanded that the mapping does not have"
        assert not set(shape.old_keys) & set(shape.keys), "an old word is a word of today"
        assert all(shape.keys[key].type == "list" for key in shape.nonempty_lists)
        assert shape.element is not None or shape.type != "list"


@pytest.mark.parametrize(
    ("group", "name", "versions"),
    POINT_1,
    ids=[f"{group_and_kind[1]} of {group_and_kind[0] or 'core'}" for group_and_kind in POINT_1],
)
def test_the_kinds_of_the_issue_are_known(group: str, name: str, versions: set[str]) -> None:
    assert versions <= set(_kind(group, name).served_versions)


def test_the_newest_version_stands_first() -> None:
    assert _kind("networking.istio.io", "VirtualService").api_version == "networking.istio.io/v1"
    assert _kind("", "Service").api_version == "v1"


def test_a_kind_is_found_under_the_group_that_it_left() -> None:
    moved = _kind("extensions", "Deployment")
    assert moved.api_version == "apps/v1"


def test_an_unknown_kind_is_none() -> None:
    assert load_kind("networking.istio.io", "RouteRule") is None
    assert load_kind("example.com", "VirtualService") is None


def test_no_kind_stands_in_both_lists() -> None:
    for group in schema.list_groups():
        assert not set(schema.list_shaped_kinds().get(group, ())) & set(
            schema.find_unshaped_kinds(group).names
        ), group


def test_a_shape_that_an_alias_repeats_is_one() -> None:
    http = (
        _kind("networking.istio.io", "VirtualService").root.keys["spec"].keys["http"].mapping_shape
    )
    assert (
        http.keys["match"].mapping_shape.keys["uri"]
        is http.keys["match"].mapping_shape.keys["method"]
    )


@pytest.mark.parametrize(
    ("leaf", "least", "most"),
    [("integer 1..65535", 1, 65535), ("number ..100", None, 100), ("integer 0..", 0, None)],
)
def test_a_range_may_be_open(leaf: str, least: float | None, most: float | None) -> None:
    shape = schema._build_leaf(leaf)
    assert (shape.minimum, shape.maximum) == (least, most)


def test_an_unknown_leaf_is_named() -> None:
    with pytest.raises(ValueError, match="'txet' is no leaf"):
        schema._build_leaf("txet")


@pytest.mark.parametrize(
    ("word", "nearest_word"),
    [
        ("percendence", "precedence"),
        ("weigth", "weight"),
        ("regexp", "regex"),
        ("apiversion", "apiVersion"),
        ("xyzzy", ""),
    ],
)
def test_the_nearest_word_is_found(word: str, nearest_word: str) -> None:
    valid = ["precedence", "weight", "regex", "apiVersion", "host", "destination"]
    assert find_closest_word(word, valid) == nearest_word


def test_the_files_are_small() -> None:
    files = list(Path(schema.__file__).with_name("shapes").rglob("*.yaml"))
    assert sum(len(file.read_text().splitlines()) for file in files) < 1500
    assert all(yaml.safe_load(file.read_text()) for file in files)
