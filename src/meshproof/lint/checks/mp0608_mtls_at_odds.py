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

_AT_ODDS = {"STRICT": ("DISABLE", "SIMPLE", "MUTUAL"), "DISABLE": ("ISTIO_MUTUAL",)}


def check(project: Project) -> Iterator[Hit]:
    """Report each TLS mode of callers that the service's sidecars refuse."""
    for setting in read_tls_settings(read_inventory(project)):
        namespace = namespace_of(setting.host)
        found = _policy(project, namespace) if namespace else None
        if found is None:
            continue
        mode = read_text(find_values(read_spec(found), "mtls", "mode")[0])
        if setting.mode in _AT_ODDS.get(mode, ()):
            yield Hit(
                setting.at,
                f"callers of {setting.host} use {setting.mode}, and PeerAuthentication "
                f"'{found.name}' ({format_place(found.at, setting.at)}) says {mode}",
                "mode: ISTIO_MUTUAL" if mode == "STRICT" else "mode: DISABLE",
            )


def _policy(project: Project, namespace: str) -> Document | None:
    """Return the PeerAuthentication that holds for all of a namespace, None if it is not plain.

    One for single workloads or ports may say otherwise for this service, so nothing is said then.
    """
    policies = project.named_documents("PeerAuthentication")
    there = [one for one in policies if one.namespace == namespace]
    for one in there:
        if find_values(read_spec(one), "selector") or find_values(read_spec(one), "portLevelMtls"):
            return None
    mesh = [one for one in policies if one.namespace == ROOT_NAMESPACE]
    for found in (*there, *mesh):
        if find_values(read_spec(found), "mtls", "mode") and not find_values(
            read_spec(found), "selector"
        ):
            return found
    return None
