"""Stand-ins for the demo apps: standard library only, one process for each workload.

`find_standin(image)` returns the module, arguments and environment for an official image. The files
also run without the rest of meshproof, mounted as `meshproof/apps/*.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class StandIn:
    """The program for one image: `python -m MODULE *ARGS`, with the image's environment."""

    module: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


class UnknownImage(LookupError):
    """There is no stand-in for this image."""


def _make_bookinfo(role: str, version: str = "v1", **env: str) -> StandIn:
    """Return the stand-in of a Bookinfo image."""
    return StandIn("meshproof.apps.bookinfo", (role,), {"SERVICE_VERSION": version, **env})


def _make_sockshop(role: str, version: str = "v1", **env: str) -> StandIn:
    """Return the stand-in of a sock shop image."""
    return StandIn("meshproof.apps.sockshop", (role,), {"SERVICE_VERSION": version, **env})


# Keyed by repository, without registry, tag and digest; the variant is part of the name.
STANDINS: dict[str, StandIn] = {
    "istio/examples-bookinfo-productpage-v1": _make_bookinfo("productpage"),
    "istio/examples-bookinfo-details-v1": _make_bookinfo("details"),
    "istio/examples-bookinfo-ratings-v1": _make_bookinfo("ratings"),
    "istio/examples-bookinfo-reviews-v1": _make_bookinfo("reviews", ENABLE_RATINGS="false"),
    "istio/examples-bookinfo-reviews-v2": _make_bookinfo(
        "reviews", "v2", ENABLE_RATINGS="true", STAR_COLOR="black"
    ),
    "istio/examples-bookinfo-reviews-v3": _make_bookinfo(
        "reviews", "v3", ENABLE_RATINGS="true", STAR_COLOR="red"
    ),
    "weaveworksdemos/orders": _make_sockshop("orders"),
    "namoo4u/orders": _make_sockshop("orders", "v2", ORDER_TOTAL="1000"),
    "weaveworksdemos/front-end": _make_sockshop("front-end"),
    "meshproof/echo": StandIn("meshproof.apps.echo"),
}


def parse_repository(image: str) -> str:
    """Return the repository of an image reference, as STANDINS writes it.

    `docker.io/istio/x:1.20.3` -> `istio/x`; `registry.istio.io/release/x@sha256:...` -> `istio/x`.
    """
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    host, slash, path = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        # Since Istio 1.28 the samples come from registry.istio.io/release.
        return "istio/" + path.removeprefix("release/") if host == "registry.istio.io" else path
    return name


def find_standin(image: str) -> StandIn:
    """Return the stand-in for an image. Raises UnknownImage with the nearest known name."""
    name = parse_repository(image)
    if name in STANDINS:
        return STANDINS[name]
    import difflib

    (nearest,) = difflib.get_close_matches(name, STANDINS, n=1, cutoff=0.0)
    raise UnknownImage(f"no stand-in for image '{image}'; the nearest known one is '{nearest}'")
