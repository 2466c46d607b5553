"""Caller and service at odds on mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import ROOT_NAMESPACE
from meshproof.documents.lookup import find_values, read_spec, read_text
from meshproof.documents.manifest import Document
from meshproof.inventory.index import namespace_of
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place
from meshproof.lint.model.tls import read_tls_settings

CODE = "MP0608"

#: Mode of the PeerAuthentication -> the modes of callers that it refuses.
_REFUSED_MODES = {"STRICT": ("DISABLE", "SIMPLE", "MUTUAL"), "DISABLE": ("ISTIO_MUTUAL",)}


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS mode of callers that the service's sidecars refuse."""
    for setting in read_tls_settings(project.inventory):
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
    """Return the PeerAuthentication that holds for all of a namespace, None if there is doubt.

    There is doubt if another one is for single workloads or ports: these may be the service's.
    """
    policies = project.named_documents("PeerAuthentication")
    namespace_policies = [policy for policy in policies if policy.namespace == namespace]
    for policy in namespace_policies:
        spec = read_spec(policy)
        if find_values(spec, "selector") or find_values(spec, "portLevelMtls"):
            return None
    mesh_policies = [policy for policy in policies if policy.namespace == ROOT_NAMESPACE]
    for policy in (*namespace_policies, *mesh_policies):
        spec = read_spec(policy)
        if find_values(spec, "mtls", "mode") and not find_values(spec, "selector"):
            return policy
    return None
