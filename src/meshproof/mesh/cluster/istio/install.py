"""Installs Istio for a run by `istioctl install`, beside another Istio or alone, and removes it.

Everything installed carries its own revision in names and labels, and only such objects are
deleted. `istioctl uninstall --purge` is never called: it would delete other people's Istio, too.

Source: Istio docs, "Install with Istioctl", "Canary Upgrades", "Install Multiple Istio Control
Planes in a Single Cluster" (objects with the label istio.io/rev are read by that revision alone).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshproof.base import signals, timeouts
from meshproof.base.errors import MeshproofError, NotReady
from meshproof.mesh.cluster.api.client import Kube, Object, labels_of
from meshproof.mesh.cluster.api.object_ref import ObjectRef, exists
from meshproof.mesh.cluster.api.objects import MANAGED_BY, RUN_LABEL
from meshproof.mesh.cluster.istio import install_record
from meshproof.mesh.cluster.istio.install_record import Record
from meshproof.mesh.cluster.istio.istio import ISTIOD_LABEL, Istio, list_istiods
from meshproof.mesh.cluster.istio.istioctl import Istioctl
from meshproof.mesh.cluster.istio.revisions import REVISION_LABEL
from meshproof.mesh.cluster.run import namespaces, workloads
from meshproof.mesh.protocol import ClusterOptions, Install
from meshproof.rules.model import MtlsMode

_SECURITY = "security.istio.io/v1"
_CRDS = "apiextensions.k8s.io/v1"
#: The setting that restricts an istiod to some namespaces.
_DISCOVERY_SELECTORS = "meshConfig.discoverySelectors"
_NO_IMAGE = (
    "--mesh-install: an image cannot be had: look at --mesh-install-hub and --mesh-install-tag, "
    "which say where it is"
)


@dataclass(frozen=True)
class InstallTask:
    """One installation: the cluster, the tool, the options, the run and its folder."""

    kube: Kube
    istioctl: Istioctl
    options: ClusterOptions
    run: str
    folder: Path


@contextlib.contextmanager
def install_istio(task: InstallTask, mtls: MtlsMode = "PERMISSIVE") -> Iterator[ClusterOptions]:
    """Install the Istio that the options request, and remove it when the context ends.

    Yields the options with its revision. Without `options.install` nothing is installed. A revision
    that already runs is used and stays: the yielded `install` is None then. Raises NotReady with
    istioctl's output when it does not start; also, before any change, when one of its objects
    exists and belongs to somebody else.
    """
    requested = task.options.install
    if requested is None:
        yield task.options
        return
    revision = requested.revision or f"mp-{task.run}"
    options = replace(task.options, revision=revision)
    if _revision_runs(task.kube, options):
        yield replace(options, install=None)
        return
    _require_single_root(task.kube, options, requested.settings)
    operator_file = task.folder / "istio-operator.yaml"
    operator_file.write_text(
        json.dumps(_make_operator(task.kube, options, requested)), encoding="utf-8"
    )
    arguments = [
        f"--filename={operator_file}",
        *(f"--set={setting}" for setting in requested.settings),
    ]
    record = _plan_record(task, options, task.istioctl.run("manifest", "generate", *arguments))
    if mtls == "STRICT":
        _require_no_mesh_policy(task.kube, record)
    labels = {RUN_LABEL: f"{task.run}-istio", MANAGED_BY: "meshproof"}
    try:
        install_record.write_record(task.kube, record, labels, task.folder)
        _run_install(task, record, arguments)
        if mtls == "STRICT":
            task.kube.apply(_make_strict_policy(record, labels))
        yield options
    except BaseException:
        with contextlib.suppress(MeshproofError):  # report the first error
            _remove_installation(task.kube, record)
        raise
    else:
        _remove_installation(task.kube, record)


def _run_install(task: InstallTask, record: Record, arguments: Sequence[str]) -> None:
    """Run `istioctl install`. Raises NotReady with its output and why a pod does not start.

    It ends as soon as an image cannot be pulled, instead of waiting for the whole time.
    """
    labels = f"{REVISION_LABEL}={record.revision}"

    def pods() -> list[Object]:
        return task.kube.list("v1", "Pod", record.namespace, labels)

    def watch() -> None:
        if any(workloads.describe_pull_failure(pod) for pod in pods()):
            raise NotReady(_NO_IMAGE)

    patience = f"--readiness-timeout={timeouts.ISTIO_INSTALL - 20:.0f}s"
    command = ("install", "--skip-confirmation", patience, *arguments)
    try:
        task.istioctl.run(*command, seconds=timeouts.ISTIO_INSTALL, watch=watch)
    except NotReady as error:
        raise NotReady(
            "\n".join([str(error), *workloads.describe_late_pods(task.kube, pods())])
        ) from None


def _remove_installation(kube: Kube, record: Record) -> None:
    """Remove an installation, then its record; a signal waits until that is done."""
    with signals.uninterrupted():
        install_record.remove_installation(kube, record)
        namespaces.delete(kube, [install_record.record_namespace(record.run)])


def add_missing_install(kube: Kube, options: ClusterOptions) -> ClusterOptions:
    """Add an installation to the options when the run's own cluster has no Istio."""
    was_provided = options.provider is not None and options.provider.name != "external"
    if not was_provided or options.install or list_istiods(kube, options.istio_namespace):
        return options
    return replace(options, install=Install("default"))


def _revision_runs(kube: Kube, options: ClusterOptions) -> bool:
    """Say whether an istiod of the revision runs. A stopped one blocks the installation later."""
    try:
        Istio.find(kube, options)
    except NotReady:
        return False
    return True


def _make_operator(kube: Kube, options: ClusterOptions, requested: Install) -> dict[str, Any]:
    """Return the IstioOperator to install; beside another Istio without the shared parts."""
    namespace, _, gateway = options.ingress.partition("/")
    components: dict[str, Any] = {}
    if kube.get(_CRDS, "CustomResourceDefinition", "virtualservices.networking.istio.io"):
        components["base"] = {"enabled": False}
    if kube.get("v1", "Service", gateway, namespace) is not None:
        names = {"ingressGateways": "istio-ingressgateway", "egressGateways": "istio-egressgateway"}
        for component, name in names.items():
            components[component] = [{"name": name, "enabled": False}]
    spec: dict[str, Any] = {
        "profile": requested.profile,
        "revision": options.revision,
        "components": components,
        "values": {"global": {"istioNamespace": options.istio_namespace}},
    }
    spec |= {name: text for name, text in (("hub", requested.hub), ("tag", requested.tag)) if text}
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "meshproof", "namespace": options.istio_namespace},
        "spec": spec,
    }


def _require_single_root(kube: Kube, options: ClusterOptions, settings: Sequence[str]) -> None:
    """Raise NotReady for an istiod in another namespace: both would write into all namespaces.

    Each writes its own root certificate, and proxies of the other would trust nobody. Discovery
    selectors prevent that (Istio docs, "Install Multiple Istio Control Planes in a Single
    Cluster").
    """
    namespaces = {
        deployment["metadata"]["namespace"]
        for deployment in kube.list("apps/v1", "Deployment", "", ISTIOD_LABEL)
    }
    other_namespaces = sorted(namespaces - {options.istio_namespace})
    if other_namespaces and not any(
        setting.startswith(_DISCOVERY_SELECTORS) for setting in settings
    ):
        raise NotReady(
            f"there is an Istio in namespace {other_namespaces[0]}: another in "
            f"{options.istio_namespace} would write its root certificate in the place of that "
            "one's, in every namespace; install it beside that: --mesh-istio-namespace "
            f"{other_namespaces[0]}"
        )


def _plan_record(task: InstallTask, options: ClusterOptions, manifest: str) -> Record:
    """Return the record of what to install. Raises NotReady when an object exists already."""
    import yaml

    documents = [
        document for document in yaml.load_all(manifest, Loader=yaml.CSafeLoader) if document
    ]
    refs = tuple(
        ObjectRef.of(document) for document in documents if document["kind"] != "Namespace"
    )
    if not any(ref.kind == "Deployment" for ref in refs):
        raise NotReady("istioctl manifest generate: the profile has no control plane")
    carrying = tuple(
        ObjectRef.of(document)
        for document in documents
        if labels_of(document).get(REVISION_LABEL) == options.revision
        or options.revision in document["metadata"]["name"]
    )
    in_the_way = [str(ref) for ref in refs if _exists_in_cluster(task.kube, ref)]
    if in_the_way:
        raise NotReady(
            f"revision {options.revision} cannot be installed: {', '.join(in_the_way[:3])}"
            f"{' and more' if len(in_the_way) > 3 else ''} is there already, and not this run's; "
            "choose another --mesh-install-revision, or use what is there: --mesh-revision"
        )
    namespace = options.istio_namespace
    alone = not task.kube.list("apps/v1", "Deployment", labels=ISTIOD_LABEL)
    return Record(
        task.run,
        options.revision,
        namespace,
        carrying,
        tuple(ref for ref in refs if ref not in carrying),
        task.kube.get("v1", "Namespace", namespace) is None,
        tuple(install_record.list_istiod_objects(task.kube, namespace)) if alone else None,
    )


def _exists_in_cluster(kube: Kube, ref: ObjectRef) -> bool:
    """Say whether an object exists; one of an unknown kind does not."""
    return kube.has_kind(ref.api_version, ref.kind) and exists(kube, ref)


def _require_no_mesh_policy(kube: Kube, record: Record) -> None:
    """Raise NotReady for an older policy of the whole mesh, which would override ours.

    The oldest one decides (Istio reference, "PeerAuthentication").
    """
    if not kube.has_kind(_SECURITY, "PeerAuthentication"):
        return
    for policy in kube.list(_SECURITY, "PeerAuthentication", record.namespace):
        if REVISION_LABEL not in labels_of(policy) and not (policy.get("spec") or {}).get(
            "selector"
        ):
            name = f"{record.namespace}/{policy['metadata']['name']}"
            raise NotReady(
                f"--mesh-mtls strict: PeerAuthentication {name} is older and for the whole mesh"
            )


def _make_strict_policy(record: Record, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a STRICT policy for the whole mesh of this revision, as istio-auth.yaml had one."""
    return {
        "apiVersion": _SECURITY,
        "kind": "PeerAuthentication",
        "metadata": {
            "name": install_record.policy_ref(record.revision).name,
            "namespace": record.namespace,
            "labels": {**labels, REVISION_LABEL: record.revision},
        },
        "spec": {"mtls": {"mode": "STRICT"}},
    }
