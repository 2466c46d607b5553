"""`meshproof images` with a stand-in for docker, podman, nerdctl, crane and skopeo on PATH."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from meshproof import manifests
from meshproof.base import timeouts
from meshproof.cli import main
from meshproof.mesh.cluster.api import image_tools
from meshproof.mesh.cluster.api.images import PROBE_IMAGE
from tests.manifest_text import write_head
from tests.mesh.cluster.fake_image_tool import put_on_path

MIRROR = "mirror.example/team"
OWN = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          initContainers: [{name: first, image: "registry.example/first:1"}]
          containers: [{name: main, image: "registry.example/main@sha256:00"}]
"""


#: What the objects of OWN and the probe need.
OFFICIAL = [PROBE_IMAGE, "registry.example/first:1", "registry.example/main@sha256:00"]


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Return the path of a file of the user's own."""
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return str(path)


@pytest.fixture
def registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of all registries; they hold the images of OWN and the probe."""
    folder = tmp_path / "registries"
    folder.mkdir()
    for image in OFFICIAL:
        (folder / quote(image, safe="")).write_text(f"layers of {image}")
    monkeypatch.setenv("FAKE_REGISTRIES", str(folder))
    monkeypatch.setenv("FAKE_STORE", str(tmp_path / "store"))
    return folder


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what puts the stand-in on PATH, under the names of tools, and nothing else."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))

    def put(*names: str) -> None:
        for name in names:
            put_on_path(path, name)

    return put


def of_apps() -> list[str]:
    references = {
        container.need("image").text()
        for document in manifests.apps()
        if document.kind == "Deployment"
        for container in document.spec.need("template").need("spec").need("containers").items()
    }
    assert len(references) > 5
    return sorted({*references, PROBE_IMAGE})


def in_mirror(image: str) -> str:
    return f"{MIRROR}/{image.partition('/')[2]}"


def read_registries(registries: Path) -> dict[str, str]:
    return {unquote(path.name): path.read_text() for path in registries.iterdir()}


def test_list_names_every_image_of_the_apps_and_of_the_probe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["images", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == of_apps()


def test_list_says_what_is_pulled_and_who_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    changed = f"{PROBE_IMAGE}=here/python:3"
    arguments = ["--image-prefix", MIRROR, "--image-map", changed, "-o", "json"]
    assert main(["images", "list", *arguments]) == 0
    output = {entry["official"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert output.pop(PROBE_IMAGE) == {
        "official": PROBE_IMAGE,
        "image": "here/python:3",
        "needed_by": ["probe"],
    }
    assert {image_entry["image"] for image_entry in output.values()} == {
        in_mirror(image) for image in output
    }
    orders = output["docker.io/namoo4u/orders"]
    assert orders["needed_by"] == ["Deployment orders-v2"]


def test_list_reads_own_files_wherever_a_pod_template_stands(
    own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["images", "list", own]) == 0
    assert capsys.readouterr().out.splitlines() == OFFICIAL


@pytest.mark.parametrize("name", image_tools.TOOLS)
def test_push_puts_each_official_image_into_the_mirror(
    name: str, registries: Path, tool: Callable[..., None], own: str
) -> None:
    tool(name)
    before = read_registries(registries)
    assert main(["images", "push", own, "--image-prefix", MIRROR]) == 0
    new = {name: text for name, text in read_registries(registries).items() if name not in before}
    assert new == {in_mirror(image): f"layers of {image}" for image in OFFICIAL}


@pytest.mark.parametrize("name", image_tools.TOOLS)
def test_a_site_without_a_way_out_gets_them_in_a_folder(
    name: str, registries: Path, tool: Callable[..., None], own: str, tmp_path: Path
) -> None:
    tool(name)
    folder = str(tmp_path / "carried")
    assert main(["images", "pull", own, "--folder", folder]) == 0
    files = sorted(path.name for path in Path(folder).iterdir())
    assert len(files) == len(OFFICIAL)
    assert not [file for file in files if not file.endswith(".tar")]
    for path in (registries, tmp_path / "store"):
        shutil.rmtree(path, ignore_errors=True)
    assert main(["images", "push", own, "--folder", folder, "--image-prefix", MIRROR]) == 0
    assert read_registries(registries) == {
        in_mirror(image): f"layers of {image}" for image in OFFICIAL
    }


@pytest.mark.parametrize("name", image_tools.STORES)
def test_pull_fetches_what_list_prints(
    name: str, registries: Path, tool: Callable[..., None], own: str, tmp_path: Path
) -> None:
    tool(name)
    assert main(["images", "push", own, "--image-prefix", MIRROR]) == 0
    shutil.rmtree(tmp_path / "store")
    assert main(["images", "pull", own, "--image-prefix", MIRROR]) == 0
    assert set(read_registries(tmp_path / "store")) == {in_mirror(image) for image in OFFICIAL}


def test_the_first_tool_on_path_is_used_unless_one_is_named(
    registries: Path, tool: Callable[..., None], own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tool("skopeo", "podman")
    assert main(["images", "pull", own]) == 0
    assert "pulled with podman" in capsys.readouterr().out
    assert main(["images", "push", own, "--image-prefix", MIRROR, "--tool", "skopeo"]) == 0
    assert "pushed with skopeo" in capsys.readouterr().out


def test_one_that_cannot_be_pulled_does_not_keep_the_others(
    registries: Path,
    tool: Callable[..., None],
    own: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tool("crane")
    (registries / quote(PROBE_IMAGE, safe="")).unlink()
    assert main(["images", "pull", own, "--folder", str(tmp_path / "carried")]) == 69
    output = capsys.readouterr().err
    assert f"images: {len(OFFICIAL) - 1} of {len(OFFICIAL)} images pulled with crane" in output
    assert f"crane pull {PROBE_IMAGE}" in output
    assert f"Error: {PROBE_IMAGE}: not found" in output
    assert len(list((tmp_path / "carried").iterdir())) == len(OFFICIAL) - 1


def test_a_tool_that_hangs_is_ended_and_leaves_no_part_of_a_file(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    (path / "crane").write_text('#!/bin/sh\necho part > "$3"\nexec /bin/sleep 60\n')
    (path / "crane").chmod(0o755)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(timeouts, "IMAGE_MOVED", 0.3)
    assert main(["images", "pull", "--folder", str(tmp_path / "to"), own]) == 69
    assert "not done after 0 s" in capsys.readouterr().err
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize(
    ("option_text", "code", "message"),
    [
        ("pull", 69, "none of docker, podman, nerdctl, crane, skopeo is on PATH"),
        ("pull --tool podman", 69, "podman is not on PATH"),
        ("pull --tool dokcer", 64, "--tool dokcer: not one of docker, podman"),
        ("pull --tool dokcer", 64, "did you mean 'docker'?"),
        ("push", 64, "nothing says where to: give --image-prefix PREFIX"),
        ("list --image-map x", 64, "--image-map x: expected IMAGE=IMAGE"),
        (
            "list --image-map docker.io/library/python:3-alpin=x",
            64,
            f"nothing needs that image; did you mean '{PROBE_IMAGE}'?",
        ),
        ("lsit", 64, "did you mean 'list'?"),
        ("list no-such-file.yaml", 65, "no-such-file.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(
    option_text: str,
    code: int,
    message: str,
    tool: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        ended = main(["images", *option_text.split()])
    except SystemExit as exit_:
        ended = int(exit_.code or 0)
    assert ended == code
    assert message in capsys.readouterr().err


def test_a_tool_without_a_store_needs_a_folder(
    tool: Callable[..., None], own: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tool("skopeo")
    assert main(["images", "pull", own]) == 64
    assert "skopeo keeps no images on this machine: give --folder" in capsys.readouterr().err
    to = ["--image-prefix", MIRROR]
    assert main(["images", "push", own, "--folder", str(tmp_path / "absent"), *to]) == 64
    assert main(["images", "push", own, "--folder", str(tmp_path), *to]) == 69
    assert "is not there: fetch it with `images pull --folder" in capsys.readouterr().err


@pytest.mark.parametrize("image", ["--config=/etc/passwd", "-v", "a b", ""])
def test_what_is_no_reference_never_gets_to_a_tool(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "own.yaml"
    manifest.write_text(OWN.replace("registry.example/first:1", image))
    assert main(["images", "list", str(manifest)]) == 65
    output = capsys.readouterr().err
    assert "own.yaml:10:" in output
    assert "the reference of an image" in output


def test_files_that_name_no_image_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "own.yaml"
    manifest.write_text(write_head("Service", "x"))
    assert main(["images", "list", str(manifest)]) == 64
    assert "no object there names an image" in capsys.readouterr().err
