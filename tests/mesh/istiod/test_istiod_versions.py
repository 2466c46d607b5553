"""`meshproof istiod pull` and `--istiod VERSION` with a stand-in for the image tools on PATH."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from meshproof.base.errors import NotReady
from meshproof.cli import main
from meshproof.mesh.cluster.api import image_tools
from meshproof.mesh.istiod import versions
from meshproof.mesh.istiod.binaries import find_binaries
from meshproof.run.record import Outcome
from tests.command import run_command
from tests.mesh.cluster.fake_image_tool import put_on_path
from tests.mesh.istiod.images import PLACE, make_layer, put_image

IMAGE = "docker.io/istio/pilot:1.29.2"
MIRROR = "mirror.example/team"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that is all of PATH; the cache of istiods is empty, too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FAKE_REGISTRIES", str(tmp_path / "registries"))
    monkeypatch.setenv("FAKE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def registries(tools: Path, tmp_path: Path) -> Path:
    """Return the folder of all registries; one has istiod 1.29.2."""
    folder = tmp_path / "registries"
    put_image(folder, IMAGE, {"etc/passwd": b"root", PLACE: b"istiod of 1.29.2"})
    return folder


@pytest.mark.parametrize("name", image_tools.TOOLS)
def test_pull_keeps_the_program_of_the_image(
    name: str, tools: Path, registries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_on_path(tools, name)
    assert main(["istiod", "pull", "1.29.2"]) == 0
    path = versions.find_kept("1.29.2")
    assert path is not None
    assert path.read_bytes() == b"istiod of 1.29.2"
    assert os.access(path, os.X_OK)
    assert capsys.readouterr().out == f"1.29.2 -> {path}\n"
    assert [file.name for file in path.parent.iterdir()] == ["pilot-discovery"]
    assert main(["istiod", "list"]) == 0
    assert capsys.readouterr().out == f"1.29.2 -> {path}\n"


def test_what_is_kept_needs_no_tool_and_no_network(tools: Path, registries: Path) -> None:
    put_on_path(tools, "crane")
    assert main(["istiod", "pull", "1.29.2"]) == 0
    (tools / "crane").unlink()
    assert main(["istiod", "pull", "1.29.2"]) == 0


def test_a_mirror_is_asked_in_place_of_the_registry(tools: Path, registries: Path) -> None:
    put_on_path(tools, "docker")
    put_image(registries, f"{MIRROR}/istio/pilot:1.29.2", {PLACE: b"of the mirror"})
    assert main(["istiod", "pull", "--image-prefix", MIRROR, "1.29.2"]) == 0
    assert versions.get_istiod("1.29.2").read_bytes() == b"of the mirror"


def test_a_version_that_is_not_there_is_69_and_the_others_are_fetched(
    tools: Path, registries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_on_path(tools, "crane")
    assert main(["istiod", "pull", "9.99.9", "1.29.2"]) == 69
    output = capsys.readouterr()
    assert "istiod 9.99.9: crane pull" in output.err
    assert "docker.io/istio/pilot:9.99.9: not found" in output.err
    assert versions.list_kept() == ["1.29.2"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("pull 1.29.2", 69, "istiod 1.29.2: none of docker, podman, nerdctl, crane, skopeo is on"),
        ("pull v1.29.2", 64, "istiod pull v1.29.2: expected a version such as 1.29.2; did you"),
        ("pull ../../x", 64, "istiod pull ../../x: expected a version such as 1.29.2"),
        ("pull 1.29.2 --tool dokcer", 64, "--tool dokcer: not one of docker"),
    ],
)
def test_what_cannot_be_done_is_said(
    tools: Path, arguments: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["istiod", *arguments.split()]) == code
    assert message in capsys.readouterr().err


def test_an_image_without_an_istiod_is_named_and_nothing_is_kept(
    tools: Path, registries: Path
) -> None:
    put_on_path(tools, "skopeo")
    put_image(registries, IMAGE, {"usr/local/bin/envoy": b"no istiod"})
    with pytest.raises(NotReady, match=rf"^istiod 1.29.2: {IMAGE} has no /usr/local/bin/pilot-dis"):
        versions.get_istiod("1.29.2")
    assert versions.list_kept() == []


def test_an_archive_that_is_none_is_named(tools: Path) -> None:
    (tools / "crane").write_text('#!/bin/sh\necho no archive > "$5"\n')
    (tools / "crane").chmod(0o755)
    with pytest.raises(NotReady, match=r"^istiod 1.29.2: .* its archive cannot be read"):
        versions.get_istiod("1.29.2")


def write_image(path: Path, *layers: dict[str, bytes]) -> Path:
    """Write the archive of an image with several layers."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    with tarfile.open(path, "w") as archive:
        for name, files in zip(names, layers, strict=True):
            layer = path.with_name("layer")
            make_layer(layer, files)
            archive.add(layer, name)
        manifest = json.dumps([{"Layers": names}]).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest))
    return path


@pytest.mark.parametrize("name", [PLACE, f"./{PLACE}", f"/{PLACE}"])
def test_the_last_layer_that_has_the_program_counts(tmp_path: Path, name: str) -> None:
    archive = write_image(tmp_path / "image.tar", {PLACE: b"old"}, {name: b"new"}, {"etc/x": b""})
    program = versions._extract(archive, IMAGE, tmp_path / "pilot-discovery")
    assert program.read_bytes() == b"new"


def test_a_program_that_a_later_layer_takes_away_is_not_there(tmp_path: Path) -> None:
    gone = {"usr/local/bin/.wh.pilot-discovery": b""}
    archive = write_image(tmp_path / "image.tar", {PLACE: b"old"}, gone)
    with pytest.raises(NotReady, match="it is no image of istiod"):
        versions._extract(archive, IMAGE, tmp_path / "pilot-discovery")
    assert not (tmp_path / "pilot-discovery").exists()


def test_a_run_gets_the_istiod_of_its_version(
    tools: Path, registries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("crane", "etcd", "kube-apiserver"):
        put_on_path(tools, name)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    put_image(registries, f"{MIRROR}/istio/pilot:1.29.2", {PLACE: b"of the mirror"})
    binaries = find_binaries("1.29.2", MIRROR)
    assert binaries.istiod.read_bytes() == b"of the mirror"
    assert binaries.etcd == tools / "etcd"


@pytest.mark.istiod
def test_a_version_from_an_image_serves_rules(
    pilot_discovery: str, tools: Path, tmp_path: Path
) -> None:
    put_on_path(tools, "crane")
    put_image(
        tmp_path / "registries",
        "mirror.example/istio/pilot:1.30.0",
        {PLACE: Path(pilot_discovery).read_bytes()},
    )
    options = ["--mesh", "istiod", "--istiod", "1.30.0", "--image-prefix", "mirror.example"]
    rules = ["--rules", str(Path(__file__).parent / "callers.yaml")]
    run = run_command("test", *options, *rules, folder=tmp_path)
    assert run.code == 0, run.output
    assert {result.outcome for result in run.all_results} == {Outcome.PASSED}
    assert versions.list_kept() == ["1.30.0"]
