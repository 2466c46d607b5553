"""Every value and every key remembers its file, line and column, and the way to it."""

from __future__ import annotations

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import At, parse

TEXT = """\
# a comment
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  ports:
  - port: 9080
    name: "http"
---
kind: Namespace
"""


def test_values_and_keys_know_their_place() -> None:
    service, namespace = parse(TEXT, "shop.yaml")
    entry = service.spec.need("ports").items()[0]
    assert service.at == At("shop.yaml", 2, 1)
    assert service.metadata.need("namespace").at == At("shop.yaml", 4, 38)
    assert service.metadata.keys["namespace"] == At("shop.yaml", 4, 27)
    assert entry.at == At("shop.yaml", 7, 5)
    assert entry.need("port").at == At("shop.yaml", 7, 11)
    assert entry.keys["name"] == At("shop.yaml", 8, 5)
    assert namespace.at == At("shop.yaml", 10, 1)


def test_values_know_the_way_to_them() -> None:
    service, _ = parse(TEXT, "shop.yaml")
    entry = service.spec.need("ports").items()[0]
    assert [service.root.path, entry.path, entry.need("port").path] == [
        "",
        "spec.ports[0]",
        "spec.ports[0].port",
    ]


def test_a_place_prints_its_line_and_an_error_its_column_too() -> None:
    at = At("shop.yaml", 7, 11)
    assert str(at) == "shop.yaml:7"
    error = at.error("no such port")
    assert isinstance(error, BadRules)
    assert str(error) == "shop.yaml:7:11: no such port"


def test_places_sort_by_file_line_column() -> None:
    places = [At("b", 1, 1), At("a", 10, 2), At("a", 9, 9), At("a", 10, 1)]
    assert sorted(places) == [At("a", 9, 9), At("a", 10, 1), At("a", 10, 2), At("b", 1, 1)]


def test_a_document_prints_what_it_is_and_where() -> None:
    service, _ = parse(TEXT, "shop.yaml")
    assert str(service) == "Service shop/reviews (shop.yaml:2)"
    assert (service.group, service.api_version) == ("", "v1")
    assert parse("apiVersion: apps/v1", "d.yaml")[0].group == "apps"
    assert parse("metadata: {name: a}", "d.yaml")[0].namespace == "default"
