"""Gateways of a run are those of the ingress gateway that visits come in by, whatever its labels.

Istio's profiles label its pods `istio: ingressgateway`, which our apps and Istio's samples select;
its Helm chart by the name of the release, `istio: ingress` where that is `istio-ingress`.
Source: Istio docs, "Installing Gateways"; manifests/charts/gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshproof.mesh.cluster.api.client import Kube, labels_of
from meshproof.mesh.cluster.api.objects import ROUTING, Placed
from meshproof.mesh.cluster.istio.istio import Istio

#: The selector of Istio's samples. One that says anything else means it.
USUAL = {"istio": "ingressgateway"}


def at_ingress(kube: Kube, istio: Istio, placed: Sequence[Placed]) -> list[Placed]:
    """Return the objects: Gateways with the usual selector select the ingress gateway of `istio`.

    They stay as they are where they do so already. Raises NotReady where no such is known.
    """
    if not any(_is_usual(one) for one in placed):
        return list(placed)
    selector = istio.selector(kube)
    labels = [selector, *(labels_of(pod) for pod in istio.gateway_pods(kube))]
    if any(USUAL.items() <= one.items() for one in labels):
        return list(placed)
    return [_selecting(one, selector) if _is_usual(one) else one for one in placed]


def _is_usual(one: Placed) -> bool:
    group = str(one.body["apiVersion"]).partition("/")[0]
    is_gateway = (group, one.kind) == (ROUTING, "Gateway")
    return is_gateway and one.body.get("spec", {}).get("selector") == USUAL


def _selecting(one: Placed, selector: Mapping[str, str]) -> Placed:
    spec = {**one.body["spec"], "selector": dict(selector)}
    return Placed({**one.body, "spec": spec}, one.at)
