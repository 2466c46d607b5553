from pathlib import Path

import pytest

from meshproof import manifests
from meshproof.documents import manifest


@pytest.fixture(scope="session")
def mesh_apps():
    """The shop beside the demo apps, so that the packaged suites run here, too."""
    return [*manifests.apps(), *manifest.read([Path(__file__).parent / "k8s"])]
