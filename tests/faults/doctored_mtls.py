"""Faults in what sidecars accept."""

from __future__ import annotations

import pytest

from meshproof.mesh.envoy.translate import Snapshot
from tests.faults.planting import fault


@fault(
    "STRICT asked but plaintext accepted",
    "-k=mtls or productpage",
    failed={
        "mtls strict": r"STRICT is declared, but plaintext was answered by productpage-v1-0 \(200\)"
    },
)
def accepts_plaintext(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Snapshot, "resolve_mtls", lambda snapshot, pod: "PERMISSIVE")


@fault(
    "PERMISSIVE declared but plaintext refused",
    "-k=declared",
    failed={"mtls as declared": "PERMISSIVE is declared, but not so at: productpage-v1-0"},
)
def refuses_plaintext(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Snapshot, "resolve_mtls", lambda snapshot, pod: "STRICT")
