"""Caller and service at odds on mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.names import ROOT_NAMESPACE
from meshproof.inventory import Inventory
from meshproof.inventory.index import namespace_of
from meshproof.inventory.policies import PeerAuthentication
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route import format_place

CODE = "MP0608"

#: Mode of the PeerAuthentication -> the modes of callers that it refuses.
_REFUSED_MODES = {"STRICT": ("DISABLE", "SIMPLE", "MUTUAL"), "DISABLE": ("ISTIO_MUTUAL",)}


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS mode of callers that the service's sidecars refuse."""
    for setting in project.inventory.tls_settings:
        namespace = namespace_of(setting.host)
        policy = _find_policy(project.inventory, namespace) if namespace else None
        if policy is None:
            continue
        mode, document = policy.mode, policy.document
        if setting.mode in _REFUSED_MODES.get(mode, ()):
            yield Hit(
                setting.at,
                f"callers of {setting.host} use {setting.mode}, and PeerAuthentication "
                f"'{document.name}' ({format_place(document.at, setting.at)}) says {mode}",
                "mode: ISTIO_MUTUAL" if mode == "STRICT" else "mode: DISABLE",
            )


def _find_policy(inventory: Inventory, namespace: str) -> PeerAuthentication | None:
    """Return the PeerAuthentication that holds for all of a namespace, None if there is doubt.

    There is doubt if another one is for single workloads or ports: these may be the service's.
    """
    policies = inventory.peer_authentications
    namespace_policies = [policy for policy in policies if policy.document.namespace == namespace]
    if any(policy.selector is not None or policy.has_port_modes for policy in namespace_policies):
        return None
    mesh_policies = [policy for policy in policies if policy.document.namespace == ROOT_NAMESPACE]
    for policy in (*namespace_policies, *mesh_policies):
        if policy.mode and policy.selector is None:
            return policy
    return None
