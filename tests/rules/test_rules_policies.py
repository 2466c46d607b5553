"""PeerAuthentication: modes, selectors, and what is inherited where nothing is said."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.documents.manifest import At
from meshproof.rules.model import PeerPolicy


def text(spec: str, namespace: str = "shop", version: str = "v1") -> str:
    return (
        f"apiVersion: security.istio.io/{version}\nkind: PeerAuthentication\n"
        f"metadata: {{name: default, namespace: {namespace}}}\n{spec}\n"
    )


def policy(spec: str, namespace: str = "shop", version: str = "v1") -> PeerPolicy:
    (peer_policy,) = rules.read_rules(
        manifest.parse(text(spec, namespace, version), "p.yaml")
    ).policies
    return peer_policy


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_modes(mode: str, version: str) -> None:
    peer_policy = policy(f"spec: {{mtls: {{mode: {mode}}}}}", version=version)
    assert (peer_policy.namespace, peer_policy.mode, peer_policy.selector) == ("shop", mode, ())
    assert peer_policy.at == At("p.yaml", 1, 1)


@pytest.mark.parametrize(
    "spec",
    ["", "spec: {}", "spec: {mtls: {}}", "spec: {mtls: {mode: UNSET}}", "spec: {mtls: null}"],
)
def test_what_says_no_mode_leaves_it_to_the_wider_policy(spec: str) -> None:
    assert policy(spec).mode is None


def test_a_selector() -> None:
    peer_policy = policy("spec: {selector: {matchLabels: {b: '2', a: '1'}}, mtls: {mode: STRICT}}")
    assert peer_policy.selector == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize("selector", ["{}", "{matchLabels: {}}"])
def test_an_empty_selector_takes_the_whole_namespace(selector: str) -> None:
    assert policy(f"spec: {{selector: {selector}}}").selector == ()


SELECTED = "selector: {matchLabels: {app: a}}"


def test_modes_of_ports() -> None:
    assert not policy(f"spec: {{{SELECTED}}}").has_port_modes
    port_modes = "portLevelMtls: {'80': {mode: DISABLE}, 81: {mode: UNSET}}"
    assert policy(f"spec: {{{SELECTED}, {port_modes}}}").has_port_modes


REFUSED = {
    "per port of a namespace": (
        "spec: {portLevelMtls: {'80': {mode: STRICT}}}",
        "4:23: spec.portLevelMtls: a policy of a whole namespace has no modes of ports",
    ),
    "per port, without a port": (
        f"spec: {{{SELECTED}, portLevelMtls: {{}}}}",
        "4:58: spec.portLevelMtls: expected at least one port, found a mapping",
    ),
    "no such port": (
        f"spec: {{{SELECTED}, portLevelMtls: {{'0': {{}}}}}}",
        "4:64: spec.portLevelMtls.0: '0' is no port: 1 to 65535",
    ),
    "no such mode of a port": (
        f"spec: {{{SELECTED}, portLevelMtls: {{'80': {{mode: STRIKT}}}}}}",
        "4:72: spec.portLevelMtls.80.mode: 'STRIKT' is not one of DISABLE, PERMISSIVE, STRICT, "
        "UNSET; did you mean 'STRICT'?",
    ),
    "no such mode": (
        "spec: {mtls: {mode: STRIKT}}",
        "4:21: spec.mtls.mode: 'STRIKT' is not one of DISABLE, PERMISSIVE, STRICT, UNSET; "
        "did you mean 'STRICT'?",
    ),
    "a truth for a mode": (
        "spec: {mtls: {mode: off}}",
        "4:21: spec.mtls.mode: expected text, found False",
    ),
    "unknown key": (
        "spec: {mTLS: {mode: STRICT}}",
        "4:8: spec.mTLS: unknown key 'mTLS'; did you mean 'mtls'?",
    ),
    "unknown key of the selector": (
        "spec: {selector: {matchLabel: {}}}",
        "4:19: spec.selector.matchLabel: unknown key 'matchLabel'; did you mean 'matchLabels'?",
    ),
}


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_place(spec: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        policy(spec)
    assert str(error.value) == f"p.yaml:{message}"


def test_a_selector_in_the_root_namespace_has_no_effect_in_istio() -> None:
    with pytest.raises(BadRules) as error:
        policy("spec: {selector: {matchLabels: {a: b}}}", namespace="istio-system")
    assert str(error.value) == "p.yaml:1:1: in istio-system a policy with a selector has no effect"
