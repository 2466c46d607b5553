"""Which revision of Istio's control plane injects, where several stand side by side.

Source: Istio docs, "Canary Upgrades", sections "Stable revision labels" and "Default tag"; what
`istioctl tag set` makes (istioctl/pkg/tag): a webhook and, of late, a Service with the labels
istio.io/tag and istio.io/rev.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshproof.base.errors import NotReady, nearest
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of

REVISION_LABEL = "istio.io/rev"
_TAG_LABEL = "istio.io/tag"
#: The revision of an istiod that was installed without one, and the tag that decides who injects
#: into namespaces with istio-injection=enabled.
DEFAULT = "default"
_GROUP, _HOOKS = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"


def revision_of(pod: Object) -> str:
    """Return the revision of an istiod."""
    return labels_of(pod).get(REVISION_LABEL) or DEFAULT


def find_injecting_revision(kube: Kube, namespace: str, pods: Sequence[Object], wanted: str) -> str:
    """Return the revision of the istiod, one of `pods`, that injects.

    `wanted` is a revision or a tag, empty for what injects into namespaces with
    istio-injection=enabled. Raises NotReady where there is none, or nothing says which.
    """
    known = sorted({revision_of(pod) for pod in pods})
    if wanted in known or (not wanted and len(known) == 1):
        return wanted or known[0]
    named = _read_tag(kube, namespace, wanted or DEFAULT)
    if not wanted:
        named = named or DEFAULT
    if named in known:
        return named
    there = ", ".join(known)
    if wanted and not named:
        hint = nearest(wanted, known)
        raise NotReady(f"no istiod of revision {wanted}; there are {there}{hint}")
    if wanted:
        raise NotReady(f"the tag {wanted} names revision {named}, of which there is no istiod")
    raise NotReady(
        f"{kube.cluster_name}: in namespace {namespace} are istiods of the revisions {there}, and none of "
        "them is the default, which injects into namespaces with istio-injection=enabled: say "
        "which is meant with --mesh-revision NAME"
    )


def _read_tag(kube: Kube, namespace: str, tag: str) -> str:
    """Return the revision that a tag names for the istiods of a namespace; empty without one."""
    labels = f"{_TAG_LABEL}={tag}"
    if kube.has_right("list", _GROUP, _HOOKS):
        hooks = kube.list(f"{_GROUP}/v1", "MutatingWebhookConfiguration", labels=labels)
        found: Iterable[Object] = (one for one in hooks if _calls_namespace(one, namespace))
    else:
        found = kube.list("v1", "Service", namespace, labels)
    return next((labels_of(one).get(REVISION_LABEL, "") for one in found), "")


def _calls_namespace(hook: Object, namespace: str) -> bool:
    """Say whether a webhook asks istiods of a namespace, or ones outside the cluster."""
    services = [one["clientConfig"].get("service") for one in hook.get("webhooks") or ()]
    return any(service is None or service["namespace"] == namespace for service in services)
