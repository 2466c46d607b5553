"""Image references of the apps: rewritten for mirrors and air-gapped sites.

Source: distribution/reference, "Grammar" (domain, path, tag, digest of a reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from meshproof.base.errors import UsageError

#: What probe pods run on: any image with Python 3 does.
PROBE_IMAGE = "docker.io/library/python:3-alpine"


def make_image_mapper(changes: Mapping[str, str], prefix: str) -> Callable[[str], str]:
    """Return what maps an image reference to the one to pull.

    `changes` is reference -> reference, exact; any other gets `prefix` in place of its registry
    (`mirror.example/team` makes `mirror.example/team/istio/x:1` of `docker.io/istio/x:1`).
    """

    def image(reference: str) -> str:
        if reference in changes:
            return changes[reference]
        if not prefix:
            return reference
        head, slash, rest = reference.partition("/")
        named = slash and ("." in head or ":" in head or head == "localhost")
        return f"{prefix.rstrip('/')}/{rest if named else reference}"

    return image


def read_image_changes(given: Iterable[str], option: str) -> dict[str, str]:
    """Return reference -> reference of the `IMAGE=IMAGE` that `option` was given.

    Raises UsageError for one that is not of that form.
    """
    found: dict[str, str] = {}
    for pair in given:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise UsageError(f"{option} {pair}: expected IMAGE=IMAGE")
        found[old] = new
    return found
