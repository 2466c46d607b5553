"""Makes a run's Gateways select the cluster's ingress gateway, whatever labels its pods have.

Istio's profiles label the pods `istio: ingressgateway`; our apps and Istio's samples select that.
Istio's Helm chart uses the name of the release: `istio: ingress` for `istio-ingress`.

Source: Istio docs, "Installing Gateways"; manifests/charts/gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshproof.mesh.cluster.api.client import Kube, labels_of
from meshproof.mesh.cluster.api.objects import ROUTING, RunObject
from meshproof.mesh.cluster.istio.istio import Istio

#: The selector of Istio's samples. Any other selector is intended and stays.
USUAL_SELECTOR = {"istio": "ingressgateway"}


def select_ingress(kube: Kube, istio: Istio, run_objects: Sequence[RunObject]) -> list[RunObject]:
    """Return the objects; Gateways with the usual selector now select the ingress gateway.

    They stay unchanged if the selector fits already. Raises NotReady without an ingress gateway.
    """
    if not any(_has_usual_selector(run_object) for run_object in run_objects):
        return list(run_objects)
    selector = istio.read_gateway_selector(kube)
    labels = [selector, *(labels_of(pod) for pod in istio.list_gateway_pods(kube))]
    if any(USUAL_SELECTOR.items() <= pod_labels.items() for pod_labels in labels):
        return list(run_objects)
    return [
        _with_selector(run_object, selector) if _has_usual_selector(run_object) else run_object
        for run_object in run_objects
    ]


def _has_usual_selector(run_object: RunObject) -> bool:
    """Say whether an object is a Gateway with the selector of Istio's samples."""
    group = str(run_object.body["apiVersion"]).partition("/")[0]
    is_gateway = (group, run_object.kind) == (ROUTING, "Gateway")
    return is_gateway and run_object.body.get("spec", {}).get("selector") == USUAL_SELECTOR


def _with_selector(run_object: RunObject, selector: Mapping[str, str]) -> RunObject:
    """Return a copy of a Gateway with another selector."""
    spec = {**run_object.body["spec"], "selector": dict(selector)}
    return RunObject({**run_object.body, "spec": spec}, run_object.at)
