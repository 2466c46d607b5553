"""The exit code of a folder: wrong objects, unsupported ones and those that are allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshproof.run.record import Outcome, Result, Run
from meshproof.user_rules import loading
from meshproof.user_rules.loading import ReadingOptions
from tests.manifest_text import write_head

RULE = write_head("VirtualService", "shop") + (
    "spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}]}]}\n"
)
DENY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {}
"""
TCP = write_head("VirtualService", "db") + "spec: {hosts: [db], tcp: [{route: []}]}\n"
WRONG = RULE.replace("shop", "cart").replace("route", "rout")


def load_codes(folder: Path, *allowed: str) -> list[int]:
    user_rules = loading.load([str(folder)], reading=ReadingOptions(allow_unsupported=allowed))
    assert user_rules.plan.cases, "the good rule is not checked any more"
    return [entry.exit_code for entry in user_rules.excluded]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(RULE)
    (tmp_path / "deny.yaml").write_text(DENY)
    (tmp_path / "db.yaml").write_text(TCP)
    return tmp_path


@pytest.mark.parametrize(
    ("allowed", "codes"),
    [
        ((), [3, 3]),
        (("AuthorizationPolicy/deny",), [0, 3]),
        (("AuthorizationPolicy/default/deny", "VirtualService/db:spec.tcp"), [0, 0]),
        (("AuthorizationPolicy/other", "VirtualService/db:spec.tls"), [3, 3]),
    ],
)
def test_what_is_named_is_allowed(folder: Path, allowed: tuple[str, ...], codes: list[int]) -> None:
    assert load_codes(folder, *allowed) == codes


def test_a_wrong_object_fails_and_cannot_be_allowed(folder: Path) -> None:
    (folder / "cart.yaml").write_text(WRONG)
    assert sorted(load_codes(folder, "VirtualService/cart")) == [1, 3, 3]


def test_a_waypoint_is_not_supported_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(RULE)
    (tmp_path / "waypoint.yaml").write_text(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint}\n"
        "spec: {gatewayClassName: istio-waypoint, listeners: [{port: 15008, protocol: HBONE}]}\n"
    )
    assert load_codes(tmp_path) == [3]


@pytest.mark.parametrize(("exit_code", "outcome"), [(0, Outcome.PASSED), (3, Outcome.INCONCLUSIVE)])
def test_a_run_without_a_needed_object_is_not_green(exit_code: int, outcome: Outcome) -> None:
    results = [
        Result("shop", "", Outcome.PASSED),
        Result("db", "", Outcome.NOT_SUPPORTED, exit_code=exit_code),
    ]
    run = Run("0", "local", "", "", "", results=results)
    assert (run.outcome, run.exit_code) == (outcome, exit_code)
