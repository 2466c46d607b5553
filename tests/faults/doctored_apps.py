"""Faults in an app: another build stands in for its image (`doctored_builds.py`)."""

from __future__ import annotations

import pytest

from meshproof import apps
from meshproof.apps import StandIn
from tests.faults.doctored_manifests import READS_REVIEWS
from tests.faults.planting import fault


def replace_build(patch: pytest.MonkeyPatch, image: str, role: str) -> None:
    """Run `role` of doctored_builds where the app of `image` is asked for."""
    env = apps.STANDINS[image].env
    patch.setitem(apps.STANDINS, image, StandIn("tests.faults.doctored_builds", (role,), env))


@fault(
    "cookie not forwarded by productpage",
    "-k=cookie or v3_only or productpage",
    failed=dict.fromkeys(
        ("cookie user=burr", "cookie among others"),
        "though only v3 is declared.*productpage-v1-0 .* without the cookie",
    ),
    is_long=True,
)
def cookie_lost(patch: pytest.MonkeyPatch) -> None:
    replace_build(patch, "istio/examples-bookinfo-productpage-v1", "productpage-without-cookie")


@fault(
    "an app that answers 503 one time in fifty",
    "-k=productpage or rotation or v3_only or plaintext or prometheus",
    failed={"productpage": r"without details.*app of details-v1-0 answered 503: \d+ of"},
    is_long=True,
)
def one_in_fifty(patch: pytest.MonkeyPatch) -> None:
    replace_build(patch, "istio/examples-bookinfo-details-v1", "details-503-one-in-fifty")


@fault(
    "reviews down while productpage says 200",
    failed={"productpage": r"HTTP 200 without reviews.*app of reviews-v\d-0 answered 503: \d+ of"},
    inconclusive={
        **dict.fromkeys(READS_REVIEWS, 'HTTP 200, "Error fetching product reviews!'),
        "mtls strict": "without the policy, too, a visit gets HTTP 200 without reviews",
    },
    is_long=True,
)
def reviews_down(patch: pytest.MonkeyPatch) -> None:
    for version in ("v1", "v2", "v3"):
        replace_build(patch, f"istio/examples-bookinfo-reviews-{version}", "always-503")


@fault(
    "ratings that answers 503 while productpage says 200",
    "-k=productpage or rotation or v3_only",
    failed={"productpage": r"HTTP 200 without stars.*app of ratings-v1-0 answered 503: \d+ of"},
)
def ratings_down(patch: pytest.MonkeyPatch) -> None:
    replace_build(patch, "istio/examples-bookinfo-ratings-v1", "always-503")
