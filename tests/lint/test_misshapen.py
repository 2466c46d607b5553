"""One misshapen object never hides what is wrong with the others."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from meshproof.documents.form.walk import check_document
from meshproof.documents.manifest import At, parse
from meshproof.documents.sources import SourceFiles, _add_documents
from meshproof.lint import Check, Hit, Project, lint, load_checks

MATCH_IS_TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart}
spec:
  hosts: [cart]
  http:
  - match: [/new]
    route: [{destination: {host: cart}}]
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other}
spec:
  hosts: [other]
  http:
  - {rout: [{destination: {host: other}}]}
"""
OBJECTS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: a}
spec:
  hosts: [shop.example]
  gateways: [gate, mesh]
  http:
  - match: [{uri: {exact: /here}, headers: {cookie: {regex: "a=.*"}}, port: 80}]
    redirect: {uri: /there}
  - match: [{uri: {prefix: /api/}, sourceLabels: {app: x}}]
    rewrite: {uri: /}
    retries: {attempts: 2, perTryTimeout: 1s}
    timeout: 3s
    mirror: {host: audit}
    fault: {abort: {httpStatus: 503, percentage: {value: 10}}, delay: {fixedDelay: 1s}}
    route: [{destination: {host: shop, subset: v1}, weight: 40}, {destination: {host: b}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ["*.example"], port: {number: 80, name: http, protocol: HTTP}}]
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: a, image: b}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec:
  hosts: [out.example]
  ports: [{number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 1.2.3.4, ports: {tls: 443}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: side}
spec: {workloadSelector: {labels: {app: shop}}, egress: [{hosts: ["./*"]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  parentRefs: [{name: gate, sectionName: a}]
  hostnames: [a.example]
  rules:
  - matches: [{path: {type: PathPrefix, value: /a}, headers: [{name: x, value: y}]}]
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}]
    backendRefs: [{name: shop, port: 80, weight: 1}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: old}
spec:
  destination: {name: shop}
  precedence: 2
  match: {request: {headers: {cookie: {regex: "a=.*"}}}}
  route: [{labels: {version: v1}, weight: 100}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {selector: {matchLabels: {app: shop}}, mtls: {mode: STRICT}, portLevelMtls: {"80": {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {rules: [{from: [{source: {principals: ["*"]}}], to: [{operation: {paths: [/a]}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: in, annotations: {kubernetes.io/ingress.class: istio}}
spec: {rules: [{host: a.example, http: {paths: [{path: /a, backend: {service: {name: shop}}}]}}]}
"""  # noqa: E501 - one object a line reads best
#: What stands in place of any value.
WRONG_VALUES: tuple[object, ...] = (
    "x",
    "",
    "*",
    0,
    -1,
    1.5,
    1e308,
    True,
    None,
    [],
    {},
    [[]],
    [{}],
    {"a": {"b": []}},
    ["x", 1],
)


def _list_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a value with a key or an index in it."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(entries):
        yield value, key
        if isinstance(child, (dict, list)):
            yield from _list_places(child)


def _mutate(objects: list[Any], generator: random.Random) -> str:
    """Return the objects as YAML, with up to three values replaced."""
    changed = copy.deepcopy(objects)
    for _ in range(generator.randint(1, 3)):
        container, key = generator.choice(list(_list_places(generator.choice(changed))))
        container[key] = copy.deepcopy(generator.choice(WRONG_VALUES))
    return "\n---\n".join(json.dumps(changed_object) for changed_object in changed)


def test_a_match_that_is_a_text_hides_no_finding_in_another_object() -> None:
    findings = lint(parse(MATCH_IS_TEXT, "rules.yaml"))
    assert {finding.at.line for finding in findings} >= {7, 23}
    assert not [finding for finding in findings if "could not check" in finding.message]


@pytest.mark.parametrize("seed", range(0, 120, 40))
def test_every_check_takes_objects_of_any_shape(seed: int) -> None:
    objects = list(yaml.safe_load_all(OBJECTS))
    for number in range(seed, seed + 40):
        documents = parse(_mutate(objects, random.Random(number)), f"mutation {number}")
        unchecked = [finding for finding in lint(documents) if "could not check" in finding.message]
        assert not unchecked, f"mutation {number}"


def test_a_check_that_raises_becomes_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = parse(MATCH_IS_TEXT, "rules.yaml")
    before = lint(documents)

    def check_with_place(project: Project) -> Iterator[Hit]:
        yield Hit(At("rules.yaml", 2), "a hit before the error")
        raise At("rules.yaml", 8, 5).error("expected a mapping")

    def check_without_place(project: Project) -> Iterator[Hit]:
        raise KeyError("match")

    broken = (Check("MP0301", check_with_place), Check("MP0302", check_without_place))
    monkeypatch.setattr("meshproof.lint.load_checks", lambda: (*load_checks(), *broken))
    added = [str(finding) for finding in lint(documents) if finding not in before]
    assert [line.partition(" -> ")[0] for line in added] == [
        "rules.yaml:1:1: error MP0100: could not check MP0302 in every object: KeyError: 'match'",
        "rules.yaml:2:1: warning MP0301: a hit before the error",
        "rules.yaml:8:5: error MP0100: could not check MP0301 in every object: expected a mapping",
    ]


def test_an_object_that_cannot_be_examined_is_named_and_the_others_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def examine_all_but_the_first(document: Any) -> Any:
        if document.at.line == 1:
            raise RecursionError("too deep")
        return check_document(document)

    monkeypatch.setattr("meshproof.lint.engine.project.check_document", examine_all_but_the_first)
    findings = [str(finding) for finding in lint(parse(MATCH_IS_TEXT, "rules.yaml"))]
    assert "could not check this object: RecursionError: too deep" in findings[0]
    assert any("'rout'" in finding for finding in findings)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1.0e+999", f"0x{'f' * 300}"])
def test_a_number_that_json_does_not_have_is_refused_at_its_place(number: str) -> None:
    text = MATCH_IS_TEXT.replace("port: 80", f"port: {number}")
    refused = SourceFiles()
    _add_documents(refused, "rules.yaml", text.encode(), must_hold_object=True)
    (hit,) = refused.unreadable
    assert "is no number that Kubernetes takes" in hit.message
    assert (hit.at.line, len(refused.documents)) == (15, 2)


@pytest.mark.parametrize(
    "policy",
    [
        "trafficPolicy: {portLevelSettings: [{tls: {mode: SIMPLE}}]}",
        "subsets: [{name: v1, trafficPolicy: {portLevelSettings: [{tls: {mode: SIMPLE}}]}}]",
    ],
)
def test_a_policy_of_a_port_without_the_port_is_named(policy: str) -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: cart}\n"
        f"spec:\n  host: cart\n  {policy}\n"
    )
    messages = [finding.message for finding in lint(parse(text, "a.yaml"))]
    assert any("portLevelSettings[0]: 'port' is missing" in message for message in messages)
    named = text.replace("[{tls", "[{port: {number: 80}, tls")
    assert not any("'port' is missing" in f.message for f in lint(parse(named, "a.yaml")))
