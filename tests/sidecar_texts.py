"""Sidecars, and what callers see of a rule beside them: as istiod has it, for both readings."""

from __future__ import annotations

from meshproof.base.names import Labels

RULE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.shop.svc.cluster.local]
  http:
  - route: [{destination: {host: cart.shop.svc.cluster.local}}]
"""


def write_sidecar(namespace: str, *hosts: str, selector: str = "", port: int = 0) -> str:
    """Return a Sidecar whose egress has these hosts, for pods of a selector, at a port alone."""
    lines = [
        "---\napiVersion: networking.istio.io/v1\nkind: Sidecar",
        f"metadata: {{name: s{len(hosts)}, namespace: {namespace}}}",
        f"spec:\n  egress:\n  - hosts: [{', '.join(repr(host) for host in hosts)}]",
        *([f"    port: {{number: {port}, protocol: HTTP, name: http}}"] if port else []),
        *([f"  workloadSelector: {{labels: {{{selector}}}}}"] if selector else []),
    ]
    return "\n".join(lines) + "\n"


#: Namespace, labels and called port of each caller.
CALLERS: tuple[tuple[str, Labels, int], ...] = (
    ("default", (), 80),
    ("shop", (), 80),
    ("shop", (("app", "job"),), 80),
    ("shop", (), 8080),
)
#: Sidecars -> what each caller sees: the rule, the service without it, or nothing.
SEEN = {
    "": "rule rule rule rule",
    write_sidecar("shop", "bank/*", "istio-system/*"): "rule nothing nothing nothing",
    write_sidecar("shop", "./*"): "rule rule rule rule",
    write_sidecar("shop", "*/*"): "rule rule rule rule",
    write_sidecar("shop", "shop/cart.shop.svc.cluster.local"): "rule rule rule rule",
    write_sidecar("shop", "shop/order.shop.svc.cluster.local"): "rule nothing nothing nothing",
    write_sidecar("shop", "*/*.shop.svc.cluster.local"): "rule rule rule rule",
    write_sidecar("shop", "~/*"): "rule nothing nothing nothing",
    write_sidecar("shop", "*/*", "~shop/*"): "rule nothing nothing nothing",
    write_sidecar("shop", "*/*", "~bank/*"): "rule rule rule rule",
    write_sidecar("bank", "bank/*"): "rule rule rule rule",
    write_sidecar("istio-system", "./*"): "nothing rule rule rule",
    write_sidecar("istio-system", "bank/*") + write_sidecar("shop", "./*"): (
        "nothing rule rule rule"
    ),
    write_sidecar("shop", "bank/*", selector="app: job"): "rule rule nothing rule",
    write_sidecar("shop", "bank/*") + write_sidecar("shop", "./*", "bank/*", selector="app: job"): (
        "rule nothing rule nothing"
    ),
    write_sidecar("shop", "./*", port=8080): "rule nothing nothing rule",
    write_sidecar("istio-system", "bank/*", selector="app: job"): "rule rule rule rule",
}
