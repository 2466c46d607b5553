"""A trafficPolicy that leaves alone who answers is passed over; one that does not is refused."""

from __future__ import annotations

import pytest

from meshproof import rules
from meshproof.base.errors import BadRules
from meshproof.documents import manifest
from meshproof.rules.model import RuleSet

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  POLICY
  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]
"""


def read(policy: str) -> RuleSet:
    text = TEXT.replace("POLICY", f"trafficPolicy: {policy}")
    return rules.read_rules(manifest.parse(text, "r.yaml"))


PASSED = (
    "{loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 5s}}}",
    "{loadBalancer: {consistentHash: {httpHeaderName: a}}}",
    "{loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}",
    "{portLevelSettings: [{port: {number: 1}, loadBalancer: {consistentHash: {useSourceIp: no}}}]}",
    "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}",
    "{outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m}}",
    "{tls: {mode: ISTIO_MUTUAL}}",
    "{portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: LEAST_REQUEST}}]}",
)


@pytest.mark.parametrize("policy", PASSED)
def test_what_leaves_alone_who_answers(policy: str) -> None:
    (table,) = read(policy).tables
    assert table.routes[0].split[0].subset == "v1"


REFUSED = {
    "{loadBalancer: {simple: ROUND_ROBBIN}}": "42: spec.trafficPolicy.loadBalancer.simple: "
    "'ROUND_ROBBIN' is not one of LEAST_CONN, LEAST_REQUEST, PASSTHROUGH, RANDOM, ROUND_ROBIN, "
    "UNSPECIFIED; did you mean 'ROUND_ROBIN'?",
    "{tunnel: {}}": "19: spec.trafficPolicy.tunnel is not supported yet",
    "{tls: {mod: SIMPLE}}": "25: spec.trafficPolicy.tls.mod: unknown key 'mod'; did you mean "
    "'mode'?",
}


@pytest.mark.parametrize(("policy", "message"), REFUSED.items(), ids=REFUSED)
def test_what_moves_requests_or_is_unknown(policy: str, message: str) -> None:
    with pytest.raises(BadRules) as error:
        read(policy)
    assert str(error.value) == f"r.yaml:13:{message}"


def test_policies_of_a_subset_are_read_too() -> None:
    with pytest.raises(BadRules, match="retryBudget is not supported yet"):
        rules.read_rules(
            manifest.parse(
                TEXT.replace("  POLICY\n", "").replace(
                    "loadBalancer: {simple: RANDOM}", "retryBudget: {}"
                ),
                "r.yaml",
            )
        )
