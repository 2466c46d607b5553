"""A RouteRule names its callers by their service; the Service beside it says which labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.base.errors import BadRules
from meshproof.rules.model import Match
from meshproof.user_rules import loading

RULE = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {{name: shop}}
spec:
  destination: {{name: shop}}
  match:
    source: {source}
    request: {{headers: {{scheme: http}}}}
  route: [{{labels: {{version: v1}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: page, namespace: web}}
spec: {{selector: {{app: page}}, ports: [{{port: 80}}]}}
"""


def match(tmp_path: Path, source: str) -> Match:
    (tmp_path / "r.yaml").write_text(RULE.format(source=source))
    user_rules = loading.load([str(tmp_path)])
    for entry in user_rules.excluded:
        raise BadRules(f"{entry.at}: {entry.because}")
    (table,) = user_rules.rules.tables
    (parsed,) = table.routes[0].matches
    return parsed


CALLERS = {
    "{name: page, namespace: web}": ((("app", "page"),), "web"),
    "{service: page.web.svc.cluster.local}": ((("app", "page"),), "web"),
    "{name: page, namespace: web, labels: {version: v2}}": (
        (("app", "page"), ("version", "v2")),
        "web",
    ),
    "{labels: {app: any}}": ((("app", "any"),), ""),
    "{labels: {app: any}, namespace: far}": ((("app", "any"),), "far"),
    "{namespace: far}": ((), "far"),
}


@pytest.mark.parametrize("source", CALLERS)
def test_callers(tmp_path: Path, source: str) -> None:
    parsed = match(tmp_path, source)
    assert (parsed.source, parsed.source_namespace) == CALLERS[source]
    assert parsed.scheme is not None
    assert (parsed.scheme.kind, parsed.scheme.value) == ("exact", "http")


def test_a_service_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadRules) as error:
        match(tmp_path, "{name: pgae, namespace: web}")
    assert str(error.value).endswith(
        "r.yaml:7: spec.match.source.name: the labels of callers tell them apart: give the "
        "Service pgae.web.svc.cluster.local too, whose selector says which; did you mean "
        "'page.web.svc.cluster.local'?"
    )


def test_labels_that_its_service_excludes(tmp_path: Path) -> None:
    with pytest.raises(BadRules) as error:
        match(tmp_path, "{name: page, namespace: web, labels: {app: other}}")
    assert "selects app=page, the labels beside say app=other: nobody is both" in str(error.value)
