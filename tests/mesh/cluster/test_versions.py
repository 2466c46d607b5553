"""Versions that fit and that do not, in words."""

from __future__ import annotations

import pytest

from meshproof.mesh.cluster.istio.versions import find_skew, parse_minor, summarize_versions


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1.31.2", (1, 31)),
        ("v1.35.4", (1, 35)),
        ("1.31-alpha.eed52ebb66ad", (1, 31)),
        ("1.30.0-distroless", (1, 30)),
        ("unknown", None),
        ("", None),
    ],
)
def test_the_minor_version_is_read(text: str, minor: tuple[int, int] | None) -> None:
    assert parse_minor(text) == minor


def test_what_fits_is_not_named() -> None:
    assert not list(find_skew("1.31.0", {"a": "1.31.3", "b": "1.30.9"}, "1.32.0"))
    assert not list(find_skew("1.31.0", {"a": "1.31.0"}, ""))


@pytest.mark.parametrize(
    ("proxy", "istioctl", "message"),
    [
        (
            "1.29.1",
            "",
            "proxies of version 1.29.1 (a.x) are more than one minor version behind istiod 1.31.0",
        ),
        ("1.32.0", "", "proxies of version 1.32.0 (a.x) are ahead of istiod 1.31.0"),
        ("0.8.0", "", "are more than one minor version behind"),
        ("", "", "proxies of version unknown (a.x) cannot be compared with istiod 1.31.0"),
        ("1.31.0", "1.29.0", "istioctl 1.29.0 is more than one minor version from istiod 1.31.0"),
        ("1.31.0", "1.33.0", "istioctl 1.33.0 is more than one minor version from istiod 1.31.0"),
    ],
)
def test_skew_is_named(proxy: str, istioctl: str, message: str) -> None:
    (difference,) = find_skew("1.31.0", {"a.x": proxy}, istioctl)
    assert message in difference


def test_proxies_of_one_version_are_named_together() -> None:
    (difference,) = find_skew("1.31.0", {"b.x": "1.28.0", "a.x": "1.28.0", "c.x": "1.31.0"}, "")
    assert "(a.x, b.x)" in difference
    assert (
        summarize_versions(["1.31.0", "1.28.0", "1.31.0", ""])
        == "1.31.0 (2), 1.28.0 (1), unknown (1)"
    )
