"""Kubernetes files of the apps, and the rules of every promise in each dialect."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from meshproof.documents.manifest import Document, read

_HERE = Path(str(files("meshproof.manifests")))


def apps() -> list[Document]:
    """Return the objects of all demo apps and of the way in to them."""
    return read([_HERE / "apps"])


def apps_by_gateway_api() -> list[Document]:
    """Return the same with a way in that is written in Gateway API."""
    files = [path for path in (_HERE / "apps").glob("*.yaml") if "-gateway" not in path.name]
    return read([*sorted(files), _HERE / "gateway-api"])


def smoke() -> list[Document]:
    """Return what `meshproof smoke` stands up: Bookinfo, the way in to it, and its one rule."""
    files = [_HERE / "apps" / "bookinfo.yaml", _HERE / "apps" / "bookinfo-gateway.yaml"]
    return [*read(files), *rules("smoke", "v1")]


def dialects(promise: str) -> list[str]:
    """Return the dialects in which a promise's rules are written: `v1`, `v1alpha2`.

    Raises LookupError when there are none: a promise over no rules must not pass.
    """
    found = sorted(path.stem for path in (_HERE / "rules" / promise).glob("*.yaml"))
    if not found:
        raise LookupError(f"no rules in manifests/rules/{promise}")
    return found


def rules(promise: str, dialect: str) -> list[Document]:
    """Return the objects of a promise's rules in one dialect."""
    return read([_HERE / "rules" / promise / f"{dialect}.yaml"])
