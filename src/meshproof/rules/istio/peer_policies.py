"""Makes peer policies of the model from Istio's PeerAuthentications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from meshproof.documents.problems import CheckedDocument, read_valid
from meshproof.inventory.policies import read_peer_authentications
from meshproof.rules.model import MtlsMode, PeerPolicy


def read_peer_policies(documents: Iterable[CheckedDocument]) -> tuple[PeerPolicy, ...]:
    """Return the policies in documents of that kind that have no problem."""
    return tuple(
        PeerPolicy(
            policy.document.namespace,
            _find_mode(policy.mode),
            policy.document.at,
            policy.selector or (),
            policy.has_port_modes,
        )
        for policy in read_valid(documents, read_peer_authentications)
    )


def _find_mode(text: str) -> MtlsMode | None:
    """Return the mTLS mode, None for UNSET and for none."""
    return next((mode for mode in get_args(MtlsMode) if mode == text), None)
