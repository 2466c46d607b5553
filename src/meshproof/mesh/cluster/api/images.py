"""Rewrites image references for mirrors and air-gapped sites.

Source: distribution/reference, "Grammar" (domain, path, tag, digest of a reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from meshproof.base.errors import UsageError

#: The image of probe pods; any image with Python 3 works.
PROBE_IMAGE = "docker.io/library/python:3-alpine"


def make_image_mapper(changes: Mapping[str, str], prefix: str) -> Callable[[str], str]:
    """Return a function that maps an image reference to the one to pull.

    `changes` maps whole references. Any other reference gets `prefix` in place of its registry:
    `mirror.example/team` turns `docker.io/istio/x:1` into `mirror.example/team/istio/x:1`.
    """

    def image(reference: str) -> str:
        if reference in changes:
            return changes[reference]
        if not prefix:
            return reference
        registry, slash, path = reference.partition("/")
        has_registry = slash and ("." in registry or ":" in registry or registry == "localhost")
        return f"{prefix.rstrip('/')}/{path if has_registry else reference}"

    return image


def read_image_changes(pairs: Iterable[str], option: str) -> dict[str, str]:
    """Return the reference -> reference map of an option's `IMAGE=IMAGE` values.

    Raises UsageError, naming `option`, for a value of another form.
    """
    changes: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise UsageError(f"{option} {pair}: expected IMAGE=IMAGE")
        changes[old] = new
    return changes
