"""Caller and service at odds on mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import ROOT_NAMESPACE
from meshproof.documents.manifest import Document
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project, find_values, read_spec, read_text
from meshproof.lint.model.inventory import namespace_of, read_inventory
from meshproof.lint.model.route import format_place
from meshproof.lint.model.tls import read_tls_settings

CODE = "MP0608"

_REFUSED_MODES = {"STRICT": ("DISABLE", "SIMPLE", "MUTUAL"), "DISABLE": ("ISTIO_MUTUAL",)}


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS mode of callers that the service's sidecars refuse."""
    for setting in read_tls_settings(read_inventory(project)):
        namespace = namespace_of(setting.host)
        policy = _find_policy(project, namespace) if namespace else None
        if policy is None:
            continue
        mode = read_text(find_values(read_spec(policy), "mtls", "mode")[0])
        if setting.mode in _REFUSED_MODES.get(mode, ()):
            yield Hit(
                setting.at,
                f"callers of {setting.host} use {setting.mode}, and PeerAuthentication "
                f"'{policy.name}' ({format_place(policy.at, setting.at)}) says {mode}",
                "mode: ISTIO_MUTUAL" if mode == "STRICT" else "mode: DISABLE",
            )


def _find_policy(project: Project, namespace: str) -> Document | None:
    """Return the PeerAuthentication that holds for all of a namespace, None if it is not plain.

    One for single workloads or ports may say otherwise for this service, so nothing is said then.
    """
    policies = project.named_documents("PeerAuthentication")
    namespace_policies = [policy for policy in policies if policy.namespace == namespace]
    for policy in namespace_policies:
        if find_values(read_spec(policy), "selector") or find_values(
            read_spec(policy), "portLevelMtls"
        ):
            return None
    mesh_policies = [policy for policy in policies if policy.namespace == ROOT_NAMESPACE]
    for policy in (*namespace_policies, *mesh_policies):
        if find_values(read_spec(policy), "mtls", "mode") and not find_values(
            read_spec(policy), "selector"
        ):
            return policy
    return None
