"""MP0701: annotations that are meant for meshproof and cannot hold."""

from __future__ import annotations

import pytest

from meshproof.documents.manifest import parse
from meshproof.lint import lint

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
  annotations:
    %s
spec:
  hosts: [shop]
  http: [{route: [{destination: {host: shop}}]}]
"""


def lint_text(text: str) -> list[tuple[int, str, str]]:
    return [
        (finding.at.line, finding.code, finding.message)
        for finding in lint(parse(text, "shop.yaml"))
    ]


@pytest.mark.parametrize(
    ("annotation", "message_part"),
    [
        ('meshproof/buget: "5"', "meshproof has no option 'buget'; did you mean 'budget'?"),
        ('meshproof/budget: "5.5"', "expected a whole number from 1 to 1000000000 as text"),
        ('meshproof/alpha: "0.1"', "shared over all checks"),
        ('Meshproof/leak: "0.1"', "options of meshproof are written meshproof/NAME"),
    ],
)
def test_it_names_what_is_wrong(annotation: str, message_part: str) -> None:
    ((line, code, message),) = lint_text(RULE % annotation)
    assert (line, code) == (6, "MP0701")
    assert message_part in message


@pytest.mark.parametrize("annotation", ['meshproof/budget: "5"', 'mesh.example/buget: "5"'])
def test_what_is_right_or_of_others_is_left_alone(annotation: str) -> None:
    assert lint_text(RULE % annotation) == []


def test_a_value_that_is_no_text_has_one_finding() -> None:
    assert [code for _, code, _ in lint_text(RULE % "meshproof/budget: 5")] == ["MP0103"]


def test_it_holds_for_nothing_where_nothing_is_routed() -> None:
    text = (
        "apiVersion: v1\nkind: Service\n"
        'metadata: {name: shop, annotations: {meshproof/leak: "0.1"}}\n'
        "spec: {selector: {app: shop}, ports: [{port: 80, name: http}]}\n"
    )
    ((line, code, message),) = lint_text(text)
    assert (line, code) == (3, "MP0701")
    assert "it holds for nothing in a Service" in message
