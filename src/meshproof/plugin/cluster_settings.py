"""Reads the options that choose the cluster and the Istio of a run.

Imported late, like `settings`: without our options a run loads nothing heavy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError, suggest_nearest

if TYPE_CHECKING:
    import argparse

    import pytest

    from meshproof.mesh.protocol import Install, Provider

PROVIDERS = ("kind", "minikube", "k3d", "external")
_KUBERNETES_VERSION = re.compile(r"\d+\.\d+\.\d+")
#: Profiles whose istiod injects sidecars (Istio docs, "Installation Configuration Profiles").
PROFILES = ("default", "demo", "minimal", "openshift", "preview", "stable")
_INSTALL_OPTIONS = ("revision", "hub", "tag", "set")
#: A revision becomes part of names, which may have 63 characters, and the value of a label.
_REVISION = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")

#: Options of `meshproof smoke` for the Istio, the ingress and the images: (name, metavar, help).
#: `meshproof test` has the same options with the prefix `mesh-`; both names work.
_TARGET_OPTIONS = (
    ("istio-namespace", "NAME", "where istiod runs (default: istio-system)"),
    ("revision", "NAME", "the revision of Istio that injects"),
    ("ingress", "NAMESPACE/NAME", "Service of the ingress gateway"),
    ("gateway-url", "URL", "the way in (default: GATEWAY_URL, or looked for)"),
    ("image-prefix", "PREFIX", "registry and path that all images come from"),
)
_REPEATABLE_TARGET_OPTIONS = (
    ("image-map", "IMAGE=IMAGE", "pull instead; may be repeated"),
    ("namespace-label", "KEY=VALUE", "of the run's namespaces, too; may be repeated"),
)
#: Kubernetes docs, "Labels and Selectors"; a prefix is a DNS name.
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
#: Labels with these prefixes are set by the run itself: they mark its namespaces for meshproof
#: and for Istio's sidecar injection.
_RESERVED_LABEL_PREFIXES = (
    "meshproof/",
    "app.kubernetes.io/managed-by",
    "istio-injection",
    "istio.io/rev",
)


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the Istio, the ingress and the images of a cluster."""
    for name, metavar, help_text in _TARGET_OPTIONS:
        parser.add_argument(
            f"--{name}", f"--mesh-{name}", dest=_build_dest(name), metavar=metavar, help=help_text
        )
    for name, metavar, help_text in _REPEATABLE_TARGET_OPTIONS:
        parser.add_argument(
            f"--{name}",
            f"--mesh-{name}",
            dest=_build_dest(name),
            action="append",
            default=[],
            metavar=metavar,
            help=help_text,
        )


def list_target_arguments(options: argparse.Namespace) -> list[str]:
    """Return the target options that have a value as `--mesh-NAME=VALUE`, for pytest."""
    named_values = [(name, getattr(options, _build_dest(name))) for name, _, _ in _TARGET_OPTIONS]
    named_values += [
        (name, value)
        for name, _, _ in _REPEATABLE_TARGET_OPTIONS
        for value in getattr(options, _build_dest(name))
    ]
    return [f"--mesh-{name}={value}" for name, value in named_values if value]


def list_target_namespaces(options: argparse.Namespace) -> list[str]:
    """Return the namespaces of istiod and of the ingress gateway."""
    from meshproof.mesh.protocol import ClusterOptions

    istio = getattr(options, _build_dest("istio-namespace")) or ClusterOptions.istio_namespace
    ingress = getattr(options, _build_dest("ingress")) or ClusterOptions.ingress
    return [istio, ingress.partition("/")[0]]


def read_namespace_labels(config: pytest.Config) -> dict[str, str]:
    """Return the labels of --mesh-namespace-label.

    Raises UsageError for text that is no label, and for a label that the run sets itself.
    """
    labels: dict[str, str] = {}
    for text in config.getoption("mesh_namespace_label"):
        key, equals, value = text.partition("=")
        if not equals or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise UsageError(f"--mesh-namespace-label {text}: expected KEY=VALUE, a label")
        if key.startswith(_RESERVED_LABEL_PREFIXES):
            raise UsageError(f"--mesh-namespace-label {text}: a run sets {key} itself")
        labels[key] = value
    return labels


def _build_dest(name: str) -> str:
    """Return the attribute of argparse's namespace for a target option."""
    return f"reach_{name.replace('-', '_')}"


def read_provider(config: pytest.Config) -> Provider | None:
    """Return which provider makes the cluster, None for an existing cluster.

    Raises UsageError for an invalid value, or for an option that needs --mesh-provider.
    """
    from meshproof.mesh.protocol import Provider

    name = config.getoption("mesh_provider")
    provider_options = {
        option: config.getoption(f"mesh_provider_{option}") for option in ("config", "version")
    }
    option_names = [
        f"--mesh-provider-{option}" for option, value in provider_options.items() if value
    ]
    existing_cluster = config.getoption("mesh_kubeconfig") or config.getoption("mesh_context")
    if not name:
        if option_names:
            raise UsageError(f"{option_names[0]} says nothing without --mesh-provider")
        return None
    if name not in PROVIDERS:
        valid = ", ".join(PROVIDERS)
        raise UsageError(
            f"--mesh-provider {name}: not one of {valid}{suggest_nearest(name, PROVIDERS)}"
        )
    if name == "external" and not config.getoption("mesh_kubeconfig"):
        raise UsageError("--mesh-provider external: which one? Give --mesh-kubeconfig PATH")
    if name == "external" and option_names:
        raise UsageError(f"{option_names[0]}: --mesh-provider external makes no cluster")
    if name != "external" and existing_cluster:
        raise UsageError(
            f"--mesh-provider {name} makes a cluster of its own: leave out the kubeconfig and the "
            "context"
        )
    if provider_options["version"] and not _KUBERNETES_VERSION.fullmatch(
        provider_options["version"]
    ):
        raise UsageError(
            f"--mesh-provider-version {provider_options['version']}: expected such as 1.35.0"
        )
    if provider_options["version"] and provider_options["config"]:
        raise UsageError(
            "--mesh-provider-version says nothing beside --mesh-provider-config: that file has the "
            "version (of kind and k3d: the node's image)"
        )
    return Provider(
        name, provider_options["config"] or "", provider_options["version"] or Provider.version
    )


def read_install(config: pytest.Config) -> Install | None:
    """Return which Istio to install, None to use the Istio of the cluster.

    Raises UsageError for an invalid value, or for an option that needs --mesh-install.
    """
    from meshproof.mesh.protocol import Install

    profile = config.getoption("mesh_install")
    install_options = {name: config.getoption(f"mesh_install_{name}") for name in _INSTALL_OPTIONS}
    if not profile:
        option_names = [name for name, value in install_options.items() if value]
        if option_names:
            raise UsageError(
                f"--mesh-install-{option_names[0]} says nothing without --mesh-install"
            )
        return None
    if profile not in PROFILES:
        valid = ", ".join(PROFILES)
        raise UsageError(
            f"--mesh-install {profile}: not one of {valid}{suggest_nearest(profile, PROFILES)}"
        )
    if config.getoption("mesh_revision"):
        raise UsageError(
            "--mesh-revision is for an Istio that is there: with --mesh-install say "
            "--mesh-install-revision"
        )
    revision = install_options["revision"] or ""
    if revision and (revision == "default" or not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"--mesh-install-revision {revision}: expected lower-case letters, digits and '-', 30 "
            "at most, and not 'default', which is somebody else's"
        )
    for pair in install_options["set"]:
        name, equals, _ = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"--mesh-install-set {pair}: expected KEY=VALUE")
    return Install(
        profile,
        revision,
        install_options["hub"] or "",
        install_options["tag"] or "",
        tuple(install_options["set"]),
    )
