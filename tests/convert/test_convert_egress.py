"""EgressRule -> ServiceEntry: hosts, addresses, ports, TLS that the sidecar opens."""

from __future__ import annotations

from typing import Any

import pytest

from meshproof.base.errors import BadRules

HEAD = """\
apiVersion: config.istio.io/v1alpha2
kind: EgressRule
metadata: {name: out, namespace: shop, labels: {a: b}}
spec:
"""


def egress(service: str, ports: str, *more: str) -> str:
    lines = (f"destination: {{service: '{service}'}}", f"ports: [{ports}]", *more)
    return HEAD + "".join(f"  {line}\n" for line in lines)


def test_a_host(converted: Any) -> None:
    found = converted(egress("a.example", "{port: 80, protocol: http}, {port: 9, protocol: tcp}"))
    assert found.objects == {
        ("ServiceEntry", "out"): {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "out", "namespace": "shop", "labels": {"a": "b"}},
            "spec": {
                "hosts": ["a.example"],
                "ports": [
                    {"number": 80, "name": "http-80", "protocol": "HTTP"},
                    {"number": 9, "name": "tcp-9", "protocol": "TCP"},
                ],
                "location": "MESH_EXTERNAL",
                "resolution": "DNS",
            },
        }
    }
    assert found.said == []


def test_a_host_with_a_wildcard_is_not_looked_up(converted: Any) -> None:
    spec = converted(egress("*.a.example", "{port: 80, protocol: http}")).objects[
        "ServiceEntry", "out"
    ]["spec"]
    assert (spec["hosts"], spec["resolution"]) == (["*.a.example"], "NONE")


def test_addresses_get_a_name(converted: Any) -> None:
    found = converted(egress("10.1.0.0/16", "{port: 9, protocol: tcp}"))
    spec = found.objects["ServiceEntry", "out"]["spec"]
    assert spec["addresses"] == ["10.1.0.0/16"]
    assert (spec["hosts"], spec["resolution"]) == (["out.shop.egress"], "NONE")
    assert found.said == [
        "old.yaml:5:26: note: spec.destination.service is an address: the entry is for it, under "
        "the name out.shop.egress"
    ]


def test_the_sidecar_goes_on_to_open_tls(converted: Any) -> None:
    """Callers said http://a.example:443; so port 443 is HTTP for them."""
    found = converted(egress("a.example", "{port: 443, protocol: https}"))
    entry = found.objects["ServiceEntry", "out"]
    policy = found.objects["DestinationRule", "a.example"]
    assert entry["spec"]["ports"] == [{"number": 443, "name": "http-443", "protocol": "HTTP"}]
    assert policy["metadata"] == {"name": "a.example", "namespace": "shop"}
    assert policy["spec"] == {
        "host": "a.example",
        "trafficPolicy": {
            "portLevelSettings": [{"port": {"number": 443}, "tls": {"mode": "SIMPLE"}}]
        },
    }
    (said,) = found.said
    assert "callers say http://a.example:443, and their sidecar opens TLS, as before" in said


def test_tls_to_a_host_without_a_dot_is_refused(converted: Any) -> None:
    with pytest.raises(BadRules, match=r"old.yaml:5:26: .*takes it for a Service of"):
        converted(egress("legacy", "{port: 443, protocol: https}"))


def test_the_egress_proxy_is_named(converted: Any) -> None:
    found = converted(egress("a.example", "{port: 80, protocol: http}", "useEgressProxy: true"))
    (said,) = found.said
    assert said.startswith("old.yaml:7:19: error: spec.useEgressProxy is not converted: ")
    assert found.text.startswith("# old.yaml:7: spec.useEgressProxy is not converted: ")


def test_without_an_egress_proxy_there_is_nothing_to_say(converted: Any) -> None:
    found = converted(egress("a.example", "{port: 80, protocol: http}", "useEgressProxy: false"))
    assert found.said == []


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ("", "old.yaml:6:"),
        ("{port: 0, protocol: http}", "old.yaml:6:18: error MP0105"),
        ("{port: 80, protocol: htp}", "old.yaml:6:"),
        ("{prot: 80, protocol: http}", "old.yaml:6:"),
    ],
)
def test_wrong_values_are_refused_by_their_line(converted: Any, ports: str, said: str) -> None:
    with pytest.raises(BadRules) as error:
        converted(egress("a.example", ports))
    assert said in str(error.value)
