"""From pytest's options to the cluster and the Istio of a run: read late, as `settings` is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meshproof.base.errors import UsageError, nearest

if TYPE_CHECKING:
    import argparse

    import pytest

    from meshproof.mesh.protocol import Install, Provider

PROVIDERS = ("kind", "minikube", "k3d", "external")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
#: Those with an istiod that injects sidecars (Istio docs, "Installation Configuration Profiles").
PROFILES = ("default", "demo", "minimal", "openshift", "preview", "stable")
_PARTS = ("revision", "hub", "tag", "set")
#: It becomes a part of names and a label's value; names get to 63 characters with it.
_REVISION = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")

#: Which Istio of a cluster, which way in and whose images: options of `meshproof smoke`, which also
#: go by the names that `meshproof test` has for them.
_REACH = (
    ("istio-namespace", "NAME", "where istiod runs (default: istio-system)"),
    ("revision", "NAME", "the revision of Istio that injects"),
    ("ingress", "NAMESPACE/NAME", "Service of the ingress gateway"),
    ("gateway-url", "URL", "the way in (default: GATEWAY_URL, or looked for)"),
    ("image-prefix", "PREFIX", "registry and path that all images come from"),
)
_SEVERAL = (
    ("image-map", "IMAGE=IMAGE", "pull instead; may be repeated"),
    ("namespace-label", "KEY=VALUE", "of the run's namespaces, too; may be repeated"),
)
#: Kubernetes docs, "Labels and Selectors"; a prefix is a DNS name.
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
#: By these a run knows its namespaces, and Istio which sidecars it injects: the run says them.
_OWN = ("meshproof/", "app.kubernetes.io/managed-by", "istio-injection", "istio.io/rev")


def add_reach(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which part of a cluster a run is about."""
    for name, takes, words in _REACH:
        parser.add_argument(
            f"--{name}", f"--mesh-{name}", dest=_dest(name), metavar=takes, help=words
        )
    for name, takes, words in _SEVERAL:
        parser.add_argument(
            f"--{name}",
            f"--mesh-{name}",
            dest=_dest(name),
            action="append",
            default=[],
            metavar=takes,
            help=words,
        )


def reach(options: argparse.Namespace) -> list[str]:
    """Return what was given of them, as `--mesh-NAME=VALUE` each."""
    given = [(name, getattr(options, _dest(name))) for name, _, _ in _REACH]
    given += [(name, one) for name, _, _ in _SEVERAL for one in getattr(options, _dest(name))]
    return [f"--mesh-{name}={value}" for name, value in given if value]


def reached(options: argparse.Namespace) -> list[str]:
    """Return the namespaces of istiod and of the ingress gateway."""
    from meshproof.mesh.protocol import ClusterOptions

    istio = getattr(options, _dest("istio-namespace")) or ClusterOptions.istio_namespace
    ingress = getattr(options, _dest("ingress")) or ClusterOptions.ingress
    return [istio, ingress.partition("/")[0]]


def namespace_labels(config: pytest.Config) -> dict[str, str]:
    """Return the labels of --mesh-namespace-label.

    Raises UsageError for one that is none, and for one that a run needs for itself.
    """
    found: dict[str, str] = {}
    for given in config.getoption("mesh_namespace_label"):
        key, equals, value = given.partition("=")
        if not equals or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise UsageError(f"--mesh-namespace-label {given}: expected KEY=VALUE, a label")
        if key.startswith(_OWN):
            raise UsageError(f"--mesh-namespace-label {given}: a run sets {key} itself")
        found[key] = value
    return found


def _dest(name: str) -> str:
    return f"reach_{name.replace('-', '_')}"


def provider(config: pytest.Config) -> Provider | None:
    """Return what makes the cluster, None for one that is there.

    Raises UsageError for a word that cannot be used, or that says nothing without --mesh-provider.
    """
    from meshproof.mesh.protocol import Provider

    name = config.getoption("mesh_provider")
    parts = {one: config.getoption(f"mesh_provider_{one}") for one in ("config", "version")}
    given = [f"--mesh-provider-{one}" for one, value in parts.items() if value]
    there = config.getoption("mesh_kubeconfig") or config.getoption("mesh_context")
    if not name:
        if given:
            raise UsageError(f"{given[0]} says nothing without --mesh-provider")
        return None
    if name not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise UsageError(f"--mesh-provider {name}: not one of {known}{nearest(name, PROVIDERS)}")
    if name == "external" and not config.getoption("mesh_kubeconfig"):
        raise UsageError("--mesh-provider external: which one? Give --mesh-kubeconfig PATH")
    if name == "external" and given:
        raise UsageError(f"{given[0]}: --mesh-provider external makes no cluster")
    if name != "external" and there:
        raise UsageError(
            f"--mesh-provider {name} makes a cluster of its own: leave out the kubeconfig and the "
            "context"
        )
    if parts["version"] and not _VERSION.fullmatch(parts["version"]):
        raise UsageError(f"--mesh-provider-version {parts['version']}: expected such as 1.35.0")
    if parts["version"] and parts["config"]:
        raise UsageError(
            "--mesh-provider-version says nothing beside --mesh-provider-config: that file has the "
            "version (of kind and k3d: the node's image)"
        )
    return Provider(name, parts["config"] or "", parts["version"] or Provider.version)


def install(config: pytest.Config) -> Install | None:
    """Return which Istio is to be installed, None for the one that is there.

    Raises UsageError for a word that cannot be used, or that says nothing without --mesh-install.
    """
    from meshproof.mesh.protocol import Install

    profile = config.getoption("mesh_install")
    parts = {name: config.getoption(f"mesh_install_{name}") for name in _PARTS}
    if not profile:
        given = [name for name, value in parts.items() if value]
        if given:
            raise UsageError(f"--mesh-install-{given[0]} says nothing without --mesh-install")
        return None
    if profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise UsageError(
            f"--mesh-install {profile}: not one of {known}{nearest(profile, PROFILES)}"
        )
    if config.getoption("mesh_revision"):
        raise UsageError(
            "--mesh-revision is for an Istio that is there: with --mesh-install say "
            "--mesh-install-revision"
        )
    revision = parts["revision"] or ""
    if revision and (revision == "default" or not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"--mesh-install-revision {revision}: expected lower-case letters, digits and '-', 30 "
            "at most, and not 'default', which is somebody else's"
        )
    for pair in parts["set"]:
        name, equals, _ = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"--mesh-install-set {pair}: expected KEY=VALUE")
    return Install(profile, revision, parts["hub"] or "", parts["tag"] or "", tuple(parts["set"]))
