"""Faults in what is deployed: the Kubernetes files, or pods that are not there any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import pytest

from meshproof.documents.manifest import Document, parse
from meshproof.mesh.local.mesh import LocalMesh
from tests.faults.planting import fault

MANIFESTS = Path(str(files("meshproof.manifests")))

NOT_FOUND = "HTTP 404, empty"
READS_REVIEWS = (
    "default rotation",
    "v3 only",
    "cookie user=burr",
    "cookie among others",
    "cookie: others stay",
)


def edit_manifest(patch: pytest.MonkeyPatch, file: str, old: str, new: str) -> None:
    """Deploy `file` with `new` in the place of `old`."""

    def apps() -> list[Document]:
        documents = []
        for path in sorted((MANIFESTS / "apps").glob("*.yaml")):
            text = path.read_text()
            if path.name == file:
                assert text.count(old) == 1, f"{file}: {old!r} must stand there once"
                text = text.replace(old, new)
            documents += parse(text, str(path))
        return documents

    patch.setattr("meshproof.manifests.apps", apps)


def two_productpages(patch: pytest.MonkeyPatch) -> None:
    """Deploy productpage twice."""
    deployment = "  name: productpage-v1\n  labels:\n    app: productpage\n    version: v1\nspec:\n"
    edit_manifest(
        patch, "bookinfo.yaml", f"{deployment}  replicas: 1", f"{deployment}  replicas: 2"
    )


def run_after_deploy(patch: pytest.MonkeyPatch, then: Callable[[LocalMesh], None]) -> None:
    """Call `then` once the apps are up."""
    deploy = LocalMesh.deploy

    def deploy_then(mesh: LocalMesh, documents: Sequence[Document]) -> None:
        deploy(mesh, documents)
        then(mesh)

    patch.setattr(LocalMesh, "deploy", deploy_then)


@fault(
    "ingress route missing",
    failed={
        "productpage": f"{NOT_FOUND}.*Envoy of istio-ingressgateway has no route for .*/productpage"
    },
    inconclusive=dict.fromkeys(
        (*READS_REVIEWS, "addon prometheus", "addon zipkin", "mtls strict"), NOT_FOUND
    ),
    is_long=True,
)
def no_ingress_route(patch: pytest.MonkeyPatch) -> None:
    edit_manifest(patch, "bookinfo-gateway.yaml", "    - uri:\n        exact: /productpage\n", "")
