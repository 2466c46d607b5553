"""Documents of objects that a cluster's API returned."""

from __future__ import annotations

import pytest

from meshproof.base.errors import BadRules
from meshproof.documents.plain import make_document

BODY = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "shop", "namespace": "books"},
    "spec": {"ports": [{"port": 80, "name": None}], "selector": {}},
}


def test_an_object_stays_what_it_is() -> None:
    document = make_document(BODY, "cluster")
    assert document.root.to_python() == BODY
    assert (document.kind, document.namespace, document.name) == ("Service", "books", "shop")


def test_errors_say_where_it_comes_from_and_the_path() -> None:
    (port,) = make_document(BODY, "cluster").spec.entries("ports")
    with pytest.raises(BadRules) as error:
        port.need("port").text()
    assert str(error.value) == "cluster:1:1: spec.ports[0].port: expected text, found 80"
