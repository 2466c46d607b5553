"""A mesh of the lab that several tests share, with the small app in it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from meshproof.documents.manifest import Document, read
from meshproof.mesh.cluster.mesh import ClusterMesh
from meshproof.mesh.protocol import Options

APPS = Path(str(files("meshproof.manifests"))) / "apps"


def sock_shop() -> list[Document]:
    """Return the objects of sock shop and of the way in to it."""
    return read([APPS / "sock-shop.yaml", APPS / "sock-shop-gateway.yaml"])


@pytest.fixture(scope="session")
def shop() -> Iterator[ClusterMesh]:
    """Sock shop in the lab's cluster. A test may plant a fault if it takes it back."""
    with ClusterMesh.opened(Options()) as mesh:
        mesh.deploy(sock_shop())
        yield mesh
