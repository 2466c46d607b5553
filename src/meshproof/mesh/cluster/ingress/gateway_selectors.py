"""Gateways of a run are those of the ingress gateway that visits come in by, whatever its labels.

Istio's profiles label its pods `istio: ingressgateway`, which our apps and Istio's samples select;
its Helm chart by the name of the release, `istio: ingress` where that is `istio-ingress`.
Source: Istio docs, "Installing Gateways"; manifests/charts/gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshproof.mesh.cluster.api.client import Kube, labels_of
from meshproof.mesh.cluster.api.objects import ROUTING, RunObject
from meshproof.mesh.cluster.istio.istio import Istio

#: The selector of Istio's samples. One that says anything else means it.
USUAL_SELECTOR = {"istio": "ingressgateway"}


def select_ingress(kube: Kube, istio: Istio, placed: Sequence[RunObject]) -> list[RunObject]:
    """Return the objects: Gateways with the usual selector select the ingress gateway of `istio`.

    They stay as they are where they do so already. Raises NotReady where no such is known.
    """
    if not any(_has_usual_selector(one) for one in placed):
        return list(placed)
    selector = istio.read_gateway_selector(kube)
    labels = [selector, *(labels_of(pod) for pod in istio.list_gateway_pods(kube))]
    if any(USUAL_SELECTOR.items() <= one.items() for one in labels):
        return list(placed)
    return [_with_selector(one, selector) if _has_usual_selector(one) else one for one in placed]


def _has_usual_selector(one: RunObject) -> bool:
    group = str(one.body["apiVersion"]).partition("/")[0]
    is_gateway = (group, one.kind) == (ROUTING, "Gateway")
    return is_gateway and one.body.get("spec", {}).get("selector") == USUAL_SELECTOR


def _with_selector(one: RunObject, selector: Mapping[str, str]) -> RunObject:
    spec = {**one.body["spec"], "selector": dict(selector)}
    return RunObject({**one.body, "spec": spec}, one.at)
