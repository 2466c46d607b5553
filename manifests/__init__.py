"""Reads the Kubernetes files of the demo apps, and the rules of every promise by dialect."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from meshproof.documents.manifest import Document, read

_HERE = Path(str(files("meshproof.manifests")))


def apps() -> list[Document]:
    """Return the objects of all demo apps and of their ingress gateways."""
    return read([_HERE / "apps"])


def apps_by_gateway_api() -> list[Document]:
    """Return the same objects, with ingress through the Gateway API."""
    files = [path for path in (_HERE / "apps").glob("*.yaml") if "-gateway" not in path.name]
    return read([*sorted(files), _HERE / "gateway-api"])


def smoke() -> list[Document]:
    """Return the objects that `meshproof smoke` deploys: Bookinfo, its gateway and its one rule."""
    files = [_HERE / "apps" / "bookinfo.yaml", _HERE / "apps" / "bookinfo-gateway.yaml"]
    return [*read(files), *rules("smoke", "v1")]


def dialects(promise: str) -> list[str]:
    """Return the dialects in which a promise's rules are written: `v1`, `v1alpha2`.

    Raises LookupError when there are none: a promise without rules must not pass.
    """
    names = sorted(path.stem for path in (_HERE / "rules" / promise).glob("*.yaml"))
    if not names:
        raise LookupError(f"no rules in manifests/rules/{promise}")
    return names


def rules(promise: str, dialect: str) -> list[Document]:
    """Return the objects of a promise's rules in one dialect."""
    return read([_HERE / "rules" / promise / f"{dialect}.yaml"])
