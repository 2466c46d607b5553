"""Image references of the apps: rewritten for mirrors and air-gapped sites.

Source: distribution/reference, "Grammar" (domain, path, tag, digest of a reference).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


def mapped(changes: Mapping[str, str], prefix: str) -> Callable[[str], str]:
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
