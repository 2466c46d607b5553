"""Compares the versions of Istio's parts.

Source: Istio docs, "Supported Releases", section "Control Plane/Data Plane Skew": a control plane
may be one minor version ahead of its proxies, proxies are never ahead of it; istioctl is of the
same minor version, or one away. Istio serves the API that is used here since 1.22 (Istio docs,
"1.22 Change Notes": the networking, security and telemetry APIs are promoted to v1).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from meshproof.base.errors import NotReady
from meshproof.mesh.cluster.api.client import Kube

#: The oldest supported Istio, and the API that older ones lack.
OLDEST = "1.22"
_API = "networking.istio.io/v1"

_MINOR = re.compile(r"(\d+)\.(\d+)")


def parse_minor(version: str) -> tuple[int, int] | None:
    """Return (1, 31) of `1.31.2` or `v1.31-alpha`; None for a version without such numbers."""
    match = _MINOR.match(version.lstrip("v"))
    return (int(match[1]), int(match[2])) if match else None


def require_supported(kube: Kube, istiod: str) -> None:
    """Raise NotReady if Istio is too old; `istiod` is its version."""
    if not kube.has_kind(_API, "VirtualService"):
        raise NotReady(
            f"{kube.cluster_name}: it does not serve {_API}, which Istio has since {OLDEST}, the "
            f"oldest that is supported (istiod is {istiod}): upgrade Istio, or only its custom "
            "resource definitions where it is newer"
        )


def find_skew(istiod: str, proxies: Mapping[str, str], istioctl: str) -> Iterator[str]:
    """Yield each version that does not fit istiod's; `proxies` maps name -> version.

    `istioctl` is empty when there is none. An unreadable version is reported, too.
    """
    for version, names in _group_by_version(proxies):
        proxy_group = f"proxies of version {version or 'unknown'} ({', '.join(names)})"
        behind = _minors_behind(istiod, version)
        if behind is None:
            yield f"{proxy_group} cannot be compared with istiod {istiod}"
        elif behind < 0:
            yield (
                f"{proxy_group} are ahead of istiod {istiod}: restart them once istiod is upgraded"
            )
        elif behind > 1:
            yield (
                f"{proxy_group} are more than one minor version behind istiod {istiod}: "
                "restart them"
            )
    if istioctl and abs(_minors_behind(istiod, istioctl) or 0) > 1:
        yield f"istioctl {istioctl} is more than one minor version from istiod {istiod}"


def summarize_versions(proxies: Iterable[str]) -> str:
    """Return each version of the proxies with its count: `1.30.1 (8), 1.29.0 (1)`."""
    counts = Counter(version or "unknown" for version in proxies)
    return ", ".join(f"{version} ({count})" for version, count in counts.most_common())


def _group_by_version(proxies: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return version -> names of its proxies, sorted."""
    names_by_version: dict[str, list[str]] = {}
    for name, version in sorted(proxies.items()):
        names_by_version.setdefault(version, []).append(name)
    return sorted(names_by_version.items())


def _minors_behind(newer: str, older: str) -> int | None:
    """Return by how many minor versions `older` is behind; a major version counts as 100."""
    newer_minor, older_minor = parse_minor(newer), parse_minor(older)
    if newer_minor is None or older_minor is None:
        return None
    return (newer_minor[0] - older_minor[0]) * 100 + newer_minor[1] - older_minor[1]
