"""A second Istio beside the lab's: installed for the run, judged, removed; all else stays."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshproof.base import timeouts
from meshproof.mesh.cluster.api.client import Kube
from meshproof.mesh.cluster.api.object_ref import ObjectRef
from meshproof.mesh.cluster.istio import install_record
from meshproof.mesh.protocol import ClusterOptions
from tests.lab.commands import ISTIO_OF_THE_LAB, LONGEST, kubectl, list_leftovers, meshproof

#: What comes and goes by itself, and what the lab's own addons write.
PASSING = ("events", "events.events.k8s.io", "leases.coordination.k8s.io")
REVISION = "mp-second"
INSTALL = ("--mesh-install=minimal", "--mesh-install-revision", REVISION, *ISTIO_OF_THE_LAB)


def everything() -> set[str]:
    """Return every object of the cluster, of every kind, with its uid."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").splitlines()
    kinds = [kind for kind in kinds if kind not in PASSING and "metrics.k8s.io" not in kind]
    assert len(kinds) > 40
    columns = "custom-columns=K:.kind,N:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid"
    lines_text = kubectl("get", ",".join(kinds), "-A", "--no-headers", "-o", columns)
    leases = kubectl("get", "leases", "-n", "istio-system", "--no-headers", "-o", columns)
    return {" ".join(line.split()) for line in [*lines_text.splitlines(), *leases.splitlines()]}


@pytest.fixture
def _nothing_is_left() -> Iterator[None]:
    before = everything()
    yield
    assert everything() ^ before == set()


def test_all_that_an_istiod_writes_by_itself_is_known(tmp_path: Path) -> None:
    """Who removes the one Istio of a cluster has to find it: no file of that Istio names it."""
    names = kubectl("api-resources", "--verbs=list,delete", "-o", "name").splitlines()
    kinds = ",".join(name for name in names if not name.startswith("events"))
    text = kubectl("get", kinds, "-A", "-o", "json", "--show-managed-fields")
    istiod_objects = {
        str(ObjectRef.of(body))
        for body in json.loads(text)["items"]
        if {by["manager"] for by in body["metadata"].get("managedFields", ())}
        == {"pilot-discovery"}
    }
    with Kube.connected(ClusterOptions(), tmp_path) as kube:
        listed_objects = {
            str(ref) for ref in install_record.list_istiod_objects(kube, "istio-system")
        }
    assert len(listed_objects) > 5
    assert istiod_objects == listed_objects


@pytest.mark.usefixtures("_nothing_is_left")
def test_a_small_gate_on_a_second_revision(tmp_path: Path) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", *INSTALL, "-k", "v3_only or control_plane"), folder=tmp_path
    )
    assert ended.code == 0, ended.output
    notes = "\n".join(ended.run.notes)
    assert f"(namespace istio-system, revision {REVISION})" in notes
    assert "Istio was installed for this run alone: profile minimal" in notes
    assert set(ended.outcomes("").values()) == {"passed"}
    assert ended.outcomes("VirtualService") == {"v3 only": "passed"}
    assert list_leftovers(ended) == []


@pytest.mark.usefixtures("_nothing_is_left")
def test_strict_for_the_second_revision_alone(tmp_path: Path) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", *INSTALL, "--mesh-mtls", "strict"),
        *("-k", "mtls or rotation"),
        folder=tmp_path,
    )
    assert ended.code == 0, ended.output
    assert ended.outcomes("") == {"mtls as declared": "passed", "default rotation": "passed"}
    assert ended.outcomes("PeerAuthentication") == {"mtls strict": "passed"}


@pytest.mark.usefixtures("_nothing_is_left")
def test_a_profile_that_cannot_be_had_is_told_in_the_words_of_istioctl(tmp_path: Path) -> None:
    ended = meshproof(
        *("test", "--mesh", "cluster", *INSTALL, "-k", "rotation"),
        *("--mesh-install-set", "values.pilot.replicaCount=many"),
        folder=tmp_path,
    )
    assert ended.code == 69, ended.output
    assert "istioctl" in ended.message("default rotation")
    assert "replicaCount" in ended.message("default rotation")


@pytest.mark.usefixtures("_nothing_is_left")
def test_an_image_that_is_not_there_is_said_long_before_istioctl_gives_up(tmp_path: Path) -> None:
    since = time.monotonic()
    ended = meshproof(
        *("test", "--mesh", "cluster", *INSTALL, "--mesh-install-tag", "0.0-none"),
        *("-k", "rotation"),
        folder=tmp_path,
    )
    assert ended.code == 69, ended.output
    assert time.monotonic() - since < timeouts.ISTIO_INSTALL / 2
    message = ended.message("default rotation")
    assert "look at --mesh-install-hub and --mesh-install-tag" in message
    pattern = r"istio-system/istiod-mp-second-\S+: (Err|Image)\w+: .*localhost/lab/pilot:0\.0-none"
    assert re.search(pattern, message), message


@pytest.mark.usefixtures("_nothing_is_left")
def test_what_a_killed_run_installed_the_next_one_removes(tmp_path: Path) -> None:
    arguments = ("-m", "meshproof", "test", "--mesh", "cluster", *INSTALL, "-k", "rotation")
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as killed:
        until = time.monotonic() + LONGEST
        while "istiod" not in kubectl("get", "deploy", "-A", "-l", f"istio.io/rev={REVISION}"):
            assert time.monotonic() < until
            time.sleep(0.5)
        killed.kill()
    ended = meshproof("test", "--mesh", "cluster", "-k", "rotation", folder=tmp_path)
    assert ended.code == 0, ended.output
