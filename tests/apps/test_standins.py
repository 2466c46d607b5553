"""The table of stand-ins, and that its files need nothing but Python."""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshproof import apps
from meshproof.apps import STANDINS, UnknownImage, find_standin

if TYPE_CHECKING:
    from tests.apps.conftest import Start

FILES = sorted(Path(apps.__file__).parent.glob("*.py"))


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/istio/examples-bookinfo-reviews-v3:1.20.3",
        "istio/examples-bookinfo-reviews-v3",
        "registry.istio.io/release/examples-bookinfo-reviews-v3:1.20.3",
        "localhost:5000/istio/examples-bookinfo-reviews-v3@sha256:00ff",
    ],
)
def test_registry_tag_and_digest_do_not_matter(image: str) -> None:
    standin = find_standin(image)
    assert (standin.module, standin.args) == ("meshproof.apps.bookinfo", ("reviews",))
    assert standin.env == {"SERVICE_VERSION": "v3", "ENABLE_RATINGS": "true", "STAR_COLOR": "red"}


def test_near_miss_names_the_image_and_the_nearest() -> None:
    with pytest.raises(UnknownImage) as error:
        find_standin("docker.io/istio/examples-bookinfo-review-v3:1.20.3")
    assert str(error.value) == (
        "no stand-in for image 'docker.io/istio/examples-bookinfo-review-v3:1.20.3'; "
        "the nearest known one is 'istio/examples-bookinfo-reviews-v3'"
    )
    assert isinstance(error.value, LookupError)


def test_every_standin_is_a_module_with_that_role() -> None:
    for standin in STANDINS.values():
        module = __import__(standin.module, fromlist=["ROLES"])
        assert set(standin.args) <= set(getattr(module, "ROLES", {}))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_imports_the_standard_library_only(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert (
                name.startswith("meshproof.apps") or name.split(".")[0] in sys.stdlib_module_names
            )


def test_runs_from_a_folder_that_holds_only_these_files(tmp_path: Path, launch: Start) -> None:
    """As from a ConfigMap: no meshproof installed, no package above the folder."""
    folder = tmp_path / "meshproof" / "apps"
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copy(file, folder)
    app = launch("-S", "-m", "meshproof.apps.bookinfo", "ratings", PYTHONPATH=str(tmp_path))
    assert app.ask("/ratings/0").status == 200
    assert app.stop()[0] == 0
