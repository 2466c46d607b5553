"""Reads the options that choose the cluster and the Istio of a run.

Imported late, like `settings`: without our options a run loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError
from meshproof.options.table import RUN_OPTIONS

if TYPE_CHECKING:
    import argparse

    from meshproof.mesh.protocol import Install, Provider
    from meshproof.options.table import RunOptions

_INSTALL_OPTIONS = ("revision", "hub", "tag", "set")
#: Labels with these prefixes are set by the run itself: they mark its namespaces for meshproof
#: and for Istio's sidecar injection.
_RESERVED_LABEL_PREFIXES = (
    "meshproof/",
    "app.kubernetes.io/managed-by",
    "istio-injection",
    "istio.io/rev",
)


def list_target_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options of `meshproof rbac` for the Istio, ingress and images of a cluster.

    They are those that something sets, as `--mesh-NAME=VALUE`. Variables of other programs are left
    out: GATEWAY_URL is how this machine reaches the gateway, not how a pod does. So are files of
    this machine, which a pod has elsewhere.
    """
    arguments: list[str] = []
    for option in RUN_OPTIONS:
        label = options.labels.get(option.name)
        is_of_target = "rbac" in option.commands and option.name != "intent"
        if is_of_target and label and label != option.variable:
            value = getattr(options, option.attribute)
            texts = value if option.is_repeatable else [value]
            arguments += [f"{option.mesh_flag}={text}" for text in texts]
    return arguments


def list_target_namespaces(options: argparse.Namespace) -> list[str]:
    """Return the namespaces of istiod and of the ingress gateway; they may be the same."""
    return [options.istio_namespace, options.ingress.partition("/")[0]]


def read_namespace_labels(options: RunOptions) -> dict[str, str]:
    """Return the labels of --mesh-namespace-label.

    Raises UsageError for a label that the run sets itself.
    """
    pairs = (text.partition("=") for text in options.namespace_label)
    labels = {key: value for key, _, value in pairs}
    for key, value in labels.items():
        if key.startswith(_RESERVED_LABEL_PREFIXES):
            raise UsageError(
                f"{options.label('namespace-label')} {key}={value}: a run sets {key} itself"
            )
    return labels


def read_provider(options: RunOptions) -> Provider | None:
    """Return which provider makes the cluster, None for an existing cluster.

    Raises UsageError for an option that needs --mesh-provider, or that does not fit it.
    """
    from meshproof.mesh.protocol import Provider

    name, config, version = options.provider, options.provider_config, options.provider_version
    labels = [
        options.label(f"provider-{option}")
        for option, value in (("config", config), ("version", version))
        if value
    ]
    if not name:
        if labels:
            raise UsageError(f"{labels[0]} says nothing without --mesh-provider")
        return None
    label = f"{options.label('provider')} {name}"
    if name == "external" and not options.kubeconfig:
        raise UsageError(f"{label}: which one? Give --mesh-kubeconfig PATH")
    if name == "external" and labels:
        raise UsageError(f"{labels[0]}: --mesh-provider external makes no cluster")
    if name != "external" and (options.kubeconfig or options.context):
        raise UsageError(
            f"{label} makes a cluster of its own: leave out the kubeconfig and the context"
        )
    if version and config:
        raise UsageError(
            f"{options.label('provider-version')} says nothing beside --mesh-provider-config: that "
            "file has the version (of kind and k3d: the node's image)"
        )
    return Provider(name, config or "", version or Provider.version)


def read_install(options: RunOptions) -> Install | None:
    """Return which Istio to install, None to use the Istio of the cluster.

    Raises UsageError for an option that needs --mesh-install, or that does not fit it.
    """
    from meshproof.mesh.protocol import Install

    if not options.install:
        names = [name for name in _INSTALL_OPTIONS if getattr(options, f"install_{name}")]
        if names:
            label = options.label(f"install-{names[0]}")
            raise UsageError(f"{label} says nothing without --mesh-install")
        return None
    if options.revision:
        raise UsageError(
            f"{options.label('revision')} is for an Istio that is there: with --mesh-install say "
            "--mesh-install-revision"
        )
    return Install(
        options.install,
        options.install_revision or "",
        options.install_hub or "",
        options.install_tag or "",
        options.install_set,
    )
