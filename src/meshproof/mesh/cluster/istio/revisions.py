"""Finds the revision of Istio that injects where several istiods run side by side.

Source: Istio docs, "Canary Upgrades", sections "Stable revision labels" and "Default tag"; what
`istioctl tag set` makes (istioctl/pkg/tag): a webhook and, of late, a Service with the labels
istio.io/tag and istio.io/rev.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshproof.base.errors import NotReady, suggest_nearest
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of

REVISION_LABEL = "istio.io/rev"
_TAG_LABEL = "istio.io/tag"
#: The revision of an istiod that was installed without one; also the tag that decides who injects
#: into namespaces with istio-injection=enabled.
DEFAULT = "default"
_GROUP, _HOOKS = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"


def revision_of(pod: Object) -> str:
    """Return the revision of an istiod pod."""
    return labels_of(pod).get(REVISION_LABEL) or DEFAULT


def find_injecting_revision(
    kube: Kube, namespace: str, pods: Sequence[Object], revision: str
) -> str:
    """Return the revision of the istiod, one of `pods`, that injects.

    `revision` is a revision or a tag; empty means the one that serves istio-injection=enabled.
    Raises NotReady when there is none, or when nothing decides between several.
    """
    revisions = sorted({revision_of(pod) for pod in pods})
    if revision in revisions or (not revision and len(revisions) == 1):
        return revision or revisions[0]
    tagged_revision = _read_tag(kube, namespace, revision or DEFAULT)
    if not revision:
        tagged_revision = tagged_revision or DEFAULT
    if tagged_revision in revisions:
        return tagged_revision
    choices = ", ".join(revisions)
    if revision and not tagged_revision:
        hint = suggest_nearest(revision, revisions)
        raise NotReady(f"no istiod of revision {revision}; there are {choices}{hint}")
    if revision:
        raise NotReady(
            f"the tag {revision} names revision {tagged_revision}, of which there is no istiod"
        )
    raise NotReady(
        f"{kube.cluster_name}: in namespace {namespace} are istiods of the revisions {choices}, "
        "and none of them is the default, which injects into namespaces with "
        "istio-injection=enabled: say which is meant with --mesh-revision NAME"
    )


def _read_tag(kube: Kube, namespace: str, tag: str) -> str:
    """Return the revision that a tag points to in a namespace; empty without one."""
    labels = f"{_TAG_LABEL}={tag}"
    if kube.has_right("list", _GROUP, _HOOKS):
        hooks = kube.list(f"{_GROUP}/v1", "MutatingWebhookConfiguration", labels=labels)
        tagged_objects: Iterable[Object] = (
            hook for hook in hooks if _calls_namespace(hook, namespace)
        )
    else:
        tagged_objects = kube.list("v1", "Service", namespace, labels)
    return next(
        (labels_of(tagged_object).get(REVISION_LABEL, "") for tagged_object in tagged_objects), ""
    )


def _calls_namespace(hook: Object, namespace: str) -> bool:
    """Say whether a webhook calls istiods of a namespace, or ones outside the cluster."""
    services = [webhook["clientConfig"].get("service") for webhook in hook.get("webhooks") or ()]
    return any(service is None or service["namespace"] == namespace for service in services)
