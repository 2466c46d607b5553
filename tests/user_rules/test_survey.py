"""What folders of public repositories showed: each was wrongly red, or hid more than it had to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof.user_rules import loading
from meshproof.user_rules.loading import ReadingOptions, UserRules
from tests.command import EndedCommand
from tests.manifest_text import write_head

RULE = write_head("VirtualService", "shop") + (
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n"
)
GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""


def http_route(name: str, spec: str) -> str:
    head = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
    return f"{head}metadata: {{name: {name}}}\nspec: {spec}\n"


def load(folder: Path, **files: str) -> UserRules:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return loading.load([str(folder)])


def test_yaml_of_another_program_is_left_out(tmp_path: Path) -> None:
    """Recyclarr has tags of its own; a mapping of ports has numbers as keys."""
    user_rules = load(
        tmp_path, shop=RULE, recyclarr="sonarr: {api_key: !env_var KEY}\n", ports="? 80\n: http\n"
    )
    assert user_rules.excluded == ()
    assert user_rules.notes == (
        "left out: 2 documents that are no Kubernetes objects (ports.yaml 1, recyclarr.yaml 1)",
    )


def test_an_object_with_a_tag_of_another_program_is_wrong(tmp_path: Path) -> None:
    (entry,) = load(tmp_path, shop=RULE, other=RULE + "status: !env_var KEY\n").excluded
    assert (entry.is_wrong, "the tag !env_var" in entry.because) == (True, True)


def test_a_route_without_parents_is_served_by_nothing_and_not_wrong(tmp_path: Path) -> None:
    route = http_route("a", "{rules: [{backendRefs: [{name: shop, port: 80}]}]}")
    (entry,) = load(tmp_path, shop=RULE, route=route).excluded
    assert (entry.name, entry.is_wrong) == ("HTTPRoute default/a", False)
    assert "spec.parentRefs: it names none" in entry.because


def test_a_route_that_is_not_checked_takes_along_those_of_its_hostname_alone(
    tmp_path: Path,
) -> None:
    rules = "rules: [{backendRefs: [{name: shop, port: 80}]}]"
    parent = "parentRefs: [{name: gw}]"
    unsupported = rules.replace("}]}]", "}], filters: [{type: ExtensionRef}]}]")
    routes = [
        http_route("bad", f"{{{parent}, hostnames: [a.example.com], {unsupported}}}"),
        http_route("wild", f"{{{parent}, hostnames: ['*.example.com'], {rules}}}"),
        http_route("other", f"{{{parent}, hostnames: [b.example.org], {rules}}}"),
    ]
    user_rules = load(tmp_path, gateway=GATEWAY + "".join(routes))
    assert [entry.name for entry in user_rules.excluded] == [
        "HTTPRoute default/bad",
        "HTTPRoute default/wild",
    ]
    assert {table.name for table in user_rules.rules.tables} == {"other"}


def test_the_operator_of_old_istio_configures_the_mesh(tmp_path: Path) -> None:
    operator = "apiVersion: operator.istio.io/v1alpha1\nkind: IstioOperator\n"
    (entry,) = load(tmp_path, shop=RULE, operator=f"{operator}metadata: {{name: a}}\n").excluded
    assert (entry.is_wrong, entry.because.partition(";")[0]) == (
        False,
        "it configures the mesh itself, not its routes",
    )


def test_a_route_rule_for_what_an_ingress_reaches_is_named_by_plan_too(tmp_path: Path) -> None:
    ingress = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: page, port: {number: 80}}}}
"""
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: page}\nspec: {ports: [{port: 80}]}\n"
    route_rule = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: a}
spec: {destination: {name: page}, route: [{labels: {version: v1}}]}
"""
    user_rules = load(tmp_path, ingress=ingress, service=service, rule=route_rule)
    (entry,) = user_rules.excluded
    assert (entry.name, entry.is_wrong) == ("RouteRule default/a", False)
    assert "which the ingress reaches itself" in entry.because
    assert user_rules.plan.cases


def test_a_variable_in_a_host_is_not_supported(tmp_path: Path) -> None:
    """It is filled in when the objects are applied."""
    rule = RULE.replace("[shop]", "['app.${DOMAIN}']", 1)
    (entry,) = load(tmp_path, gateway=GATEWAY, rule=rule).excluded
    assert not entry.is_wrong
    assert "'app.${DOMAIN}' has a variable that is filled in later" in entry.because


@pytest.mark.parametrize("host", ["harbor.<secret:private-domain>", "{{ host }}"])
def test_a_placeholder_in_a_host_is_an_error_with_its_place(tmp_path: Path, host: str) -> None:
    route = http_route(
        "a", f"\n  parentRefs: [{{name: gw}}]\n  hostnames: ['{host}']\n  rules: [{{}}]"
    )
    rule = RULE.replace("[shop]", f"['{host}']", 1)
    user_rules = load(tmp_path, gateway=GATEWAY + route, rule=rule)
    assert [(entry.at.line, entry.is_wrong) for entry in user_rules.excluded] == [
        (11, True),
        (4, True),
    ]
    assert f"no host can be named '{host}'; is it a placeholder?" in user_rules.excluded[0].because


def test_an_inventory_is_read_as_rules_are(tmp_path: Path) -> None:
    services = tmp_path / "services"
    services.mkdir()
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\n"
        "spec: {selector: {app: APP}, ports: [{port: 80}]}\n"
    )
    (services / "a.yaml").write_text(service.replace("APP", "a"))
    (services / "b.yaml").write_text(service.replace("APP", "b"))
    (services / "values.yaml").write_text("replicas: 2\n")
    (services / "recyclarr.yaml").write_text("key: !env_var KEY\n")
    (services / "chart.yaml").write_text("kind: Service\nmetadata: {name: {{ .Values.name }}}\n")
    (services / "cart.yaml").write_text(service.replace("name: shop", "name: cart"))
    (tmp_path / "rule.yaml").write_text(RULE)
    user_rules = loading.load(
        [str(tmp_path / "rule.yaml")], reading=ReadingOptions(inventory=(str(services),))
    )
    unread = [note for note in user_rules.world_notes if note.startswith("not read: ")]
    assert len(unread) == 2
    assert "it makes Service, and was not rendered" in unread[0]
    assert unread[1].startswith("not read: Service default/shop: 2 have this name (")


STRICT = """\
apiVersion: v1
kind: Service
metadata: {name: auth}
spec: {selector: {app: auth}, ports: [{name: http, port: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: auth}
spec: {template: {metadata: {labels: {app: auth}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: auth}
spec:
  selector: {matchLabels: {app: auth}}
  mtls: {mode: STRICT}
  portLevelMtls: {8000: {mode: DISABLE}}
"""


@pytest.mark.local
def test_a_strict_workload_is_asked_by_its_rules_and_its_mtls_is_not_proven(
    tmp_path: Path, meshproof: Callable[..., EndedCommand]
) -> None:
    (tmp_path / "rules.yaml").write_text(f"{STRICT}---\n{RULE.replace('shop', 'auth')}")
    ended = meshproof("test", "--rules", "rules.yaml")
    assert ended.code == 0, ended.output
    output = " ".join(ended.output.split())
    assert "spec.mtls.mode is not proven by requests" in output
    assert "spec.portLevelMtls.8000.mode is not proven by requests" in output


def test_the_service_of_a_gateway_tells_nothing_of_the_apps_of_its_namespace(
    tmp_path: Path,
) -> None:
    """The apps are in another folder: their hosts are stood in for, and the report says so."""
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: gw}\nspec:\n"
        "  selector: {gateway.networking.k8s.io/gateway-name: gw}\n  ports: [{port: 80}]\n"
    )
    user_rules = load(tmp_path, service=service, rule=RULE)
    assert [case for case in user_rules.plan.cases if case.dead_ends] == []
    (note,) = user_rules.world_notes
    assert note.endswith("as no Service of namespace default is known: shop.default")
    other = service.replace("name: gw}\nspec", "name: cart}\nspec")
    other = other.replace("gateway.networking.k8s.io/gateway-name: gw", "app: cart")
    assert [case for case in load(tmp_path, cart=other).plan.cases if case.dead_ends]
