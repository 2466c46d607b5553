"""Reads PeerAuthentications: which transport sidecars accept.

Source: Istio reference, PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.base.errors import BadRules
from meshproof.base.names import ROOT_NAMESPACE, Labels
from meshproof.documents.lookup import find_values, read_labels, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.inventory.problems import Problems

KIND = "PeerAuthentication"
_MAX_PORT = 65535
_MODES = ("DISABLE", "PERMISSIVE", "STRICT", "UNSET")


@dataclass(frozen=True, eq=False)
class PeerAuthentication:
    """A PeerAuthentication: its mode, and the labels of the workloads that it is for.

    `mode` is as written, empty if not set. A `selector` of None means all workloads.
    """

    document: Document
    mode: str
    selector: Labels | None
    has_port_modes: bool
    problems: tuple[BadRules, ...] = ()


def read_peer_authentications(documents: Iterable[Document]) -> tuple[PeerAuthentication, ...]:
    """Return the policies of documents of that kind, with problems instead of raising."""
    return tuple(map(_read_peer_authentication, documents))


def _read_peer_authentication(document: Document) -> PeerAuthentication:
    """Return the policy of one document; a wrong field is a problem of it, not raised."""
    spec = read_spec(document)
    modes, selectors = find_values(spec, "mtls", "mode"), find_values(spec, "selector")
    match_labels = find_values(spec, "selector", "matchLabels")
    return PeerAuthentication(
        document,
        read_text(modes[0]) if modes else "",
        read_labels(match_labels[0] if match_labels else None) if selectors else None,
        bool(find_values(spec, "portLevelMtls")),
        tuple(_find_problems(document)),
    )


def _find_problems(document: Document) -> Problems:
    """Return what is wrong or not supported in a policy."""
    problems = Problems()
    with problems:
        spec = document.root.get("spec")
        if spec is None:
            return problems
        mtls, selector = spec.get("mtls"), spec.get("selector")
        if mtls is not None:
            mode = mtls.get("mode")
            if mode is not None:
                mode.choice(*_MODES)
        _check_port_modes(spec.get("portLevelMtls"), selector)
        if selector is not None:
            labels = selector.get("matchLabels")
            has_labels = labels is not None and bool(labels.text_mapping())
            if has_labels and document.namespace == ROOT_NAMESPACE:
                raise document.at.error(
                    f"in {ROOT_NAMESPACE} a policy with a selector has no effect"
                )
    return problems


def _check_port_modes(port_modes: Value | None, selector: Value | None) -> None:
    """Raise BadRules for modes of ports that Istio's validation refuses."""
    if port_modes is None:
        return
    match_labels = selector.get("matchLabels") if selector is not None else None
    if match_labels is None or not match_labels.text_mapping():
        raise port_modes.at.error(
            f"{port_modes.path}: a policy of a whole namespace has no modes of ports"
        )
    if not port_modes.mapping():
        raise port_modes.error("at least one port")
    for port, port_mode in port_modes.mapping().items():
        if not (port.isdecimal() and 1 <= int(port) <= _MAX_PORT):
            raise port_mode.at.error(f"{port_mode.path}: '{port}' is no port: 1 to {_MAX_PORT}")
        mode = port_mode.get("mode")
        if mode is not None:
            mode.choice(*_MODES)
