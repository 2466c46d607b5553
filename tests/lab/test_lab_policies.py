"""A mesh that refuses whom it does not know: a run says so, and two policies let it in.

Nobody else may use the lab meanwhile: the policy holds for the whole mesh.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.base.errors import EXIT_INCONCLUSIVE
from tests import ROOT
from tests.lab.commands import kubectl, list_leftovers, meshproof
from tests.lab.nightly import USERS, users

#: Allows nothing that no other policy allows (Istio docs, "Authorization Policy", allow-nothing).
NOTHING = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-nothing, namespace: istio-system}
spec: {}
"""
DOCS = ROOT / "docs" / "policies.md"


@contextlib.contextmanager
def held(text: str) -> Iterator[None]:
    """Have policies in the lab's root namespace, and none of them afterwards."""
    try:
        kubectl("apply", "-f", "-", text=text)
        yield
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=true", "-f", "-", text=text)


@pytest.mark.parametrize("let_in", [False, True], ids=["refused", "let in"])
def test_a_policy_that_allows_nothing(let_in: bool, tmp_path: Path) -> None:
    _, advised, _ = DOCS.read_text(encoding="utf-8").split("```")
    text = NOTHING + ("---\n" + advised.removeprefix("yaml\n") if let_in else "")
    with users(), held(text):
        ended = meshproof("smoke", "--rules-from", USERS, folder=tmp_path)
        assert list_leftovers(ended) == []
    assert "allow-nothing" not in kubectl("get", "authorizationpolicies", "-A", "-o", "name")
    outcomes = ended.outcomes("") | ended.outcomes("VirtualService")
    names = {name for name in outcomes if not name.startswith("control plane")}
    assert {"productpage", "smoke: split half", "cart: x-beta yes -> v2"} <= names
    if let_in:
        assert (ended.code, set(outcomes.values())) == (0, {"passed"}), ended.output
        return
    assert ended.code == EXIT_INCONCLUSIVE, ended.output
    assert {outcomes[name] for name in names} == {"inconclusive"}, ended.output
    assert "action ALLOW" in ended.message("cart: x-beta yes -> v2")
    assert "action ALLOW" in ended.message("productpage")
