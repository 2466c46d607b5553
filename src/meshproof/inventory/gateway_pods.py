"""Reads where the proxies of Gateways run: the pods that their selectors select.

Sources: istiod, PushContext.mergeGateways (a Gateway holds at each proxy with its labels, of any
namespace); Istio reference, IstioOperator (components, values).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshproof.base.names import ROOT_NAMESPACE, USUAL_GATEWAY_LABELS, Labels
from meshproof.documents.lookup import find_values, get_value, read_labels, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.inventory.pods import read_pod_sources

#: A setting of istiod by which a Gateway holds at proxies of its own namespace alone.
SCOPING_VARIABLE = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE"
_OPERATOR_GROUP = "install.istio.io"
_OPERATOR_KIND = "IstioOperator"
#: Where a container, and the components of an IstioOperator, have the settings of istiod.
_VARIABLE_PATHS = (
    ("spec", "template", "spec", "containers", "env"),
    ("spec", "components", "pilot", "k8s", "env"),
)
#: Profiles of an IstioOperator without an ingress gateway.
_PROFILES_WITHOUT_INGRESS = ("ambient", "empty", "minimal", "remote")


@dataclass(frozen=True)
class GatewayPods:
    """Pods that may be proxies of Gateways: the namespace and the labels of each.

    With `is_scoped` a Gateway holds at those of its own namespace alone.
    """

    pods: tuple[tuple[str, Labels], ...] = ()
    is_scoped: bool = False

    def find(self, selector: Labels, gateway_namespace: str) -> dict[str, Labels]:
        """Return each namespace with pods that a Gateway selects, with the labels they share."""
        shared: dict[str, set[tuple[str, str]]] = {}
        for namespace, labels in self.pods:
            is_in_reach = not self.is_scoped or namespace == gateway_namespace
            if is_in_reach and set(selector) <= set(labels):
                shared.setdefault(namespace, set(labels)).intersection_update(labels)
        return {namespace: tuple(sorted(labels)) for namespace, labels in shared.items()}


#: No pod is known.
NO_PODS = GatewayPods()


def read_gateway_pods(documents: Iterable[Document]) -> GatewayPods:
    """Return the pods of documents of any kind, and the gateways that an IstioOperator makes."""
    all_documents = list(documents)
    operators = [document for document in all_documents if is_operator(document)]
    pods = [
        (source.document.namespace, source.labels)
        for source in read_pod_sources(all_documents)
        if source.labels
    ]
    pods += [pod for operator in operators for pod in _read_operator_pods(operator)]
    return GatewayPods(tuple(dict.fromkeys(pods)), any(map(_is_scoping, all_documents)))


def is_operator(document: Document) -> bool:
    """Say whether a document tells how Istio is installed."""
    return (document.group, document.kind) == (_OPERATOR_GROUP, _OPERATOR_KIND)


def _read_operator_pods(operator: Document) -> Iterator[tuple[str, Labels]]:
    """Yield the namespace and the labels of each gateway that an IstioOperator makes."""
    root = read_spec(operator)
    default = read_text(get_value(root, "namespace")) or ROOT_NAMESPACE
    ingresses = find_values(root, "components", "ingressGateways")
    if not ingresses and read_text(get_value(root, "profile")) not in _PROFILES_WITHOUT_INGRESS:
        yield default, USUAL_GATEWAY_LABELS
    for gateway in ingresses:
        yield from _read_operator_gateway(gateway, default, USUAL_GATEWAY_LABELS)
    for gateway in find_values(root, "components", "egressGateways"):
        labels = (("app", "istio-egressgateway"), ("istio", "egressgateway"))
        yield from _read_operator_gateway(gateway, default, labels)


def _read_operator_gateway(
    gateway: Value, default_namespace: str, default_labels: Labels
) -> Iterator[tuple[str, Labels]]:
    """Yield namespace and labels of one gateway of an IstioOperator, unless it is disabled."""
    enabled = get_value(gateway, "enabled")
    if enabled is not None and enabled.content is False:
        return
    labels = {**dict(default_labels), **dict(read_labels(get_value(gateway, "label")))}
    namespace = read_text(get_value(gateway, "namespace")) or default_namespace
    yield namespace, tuple(sorted(labels.items()))


def _is_scoping(document: Document) -> bool:
    """Say whether a document sets SCOPING_VARIABLE for istiod."""
    values = [
        value
        for path in _VARIABLE_PATHS
        for variable in find_values(document.root, *path)
        if read_text(get_value(variable, "name")) == SCOPING_VARIABLE
        for value in find_values(variable, "value")
    ]
    values += find_values(document.root, "spec", "values", "pilot", "env", SCOPING_VARIABLE)
    return any(str(value.content).lower() in ("1", "t", "true") for value in values)
