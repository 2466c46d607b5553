"""`meshproof mesh up`, `status` and `down`: what they say, their exit codes, what they leave."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import Any

from tests.robust.real_runs import MESHPROOF, Ended, Place

NONE = Ended(69, "No mesh was left running.\n")


def mesh(place: Place, *arguments: str) -> Ended:
    return place.run(*MESHPROOF, "mesh", *arguments)


def kept(place: Place) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(mesh(place, "status", "-o", "json").said)
    return found


def url(ended: Ended) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", ended.said)
    assert found, ended.said
    return found[0]


def page(address: str) -> str:
    with urllib.request.urlopen(f"{address}/productpage", timeout=10) as answer:
        return str(answer.read().decode())


def test_up_status_down(place: Place) -> None:
    assert mesh(place, "status") == NONE
    assert mesh(place, "down") == Ended(0, "No mesh was up.\n")
    up = mesh(place, "up")
    assert up.code == 0, up.said
    assert "Book" in page(url(up))
    again = mesh(place, "up")
    assert again == Ended(0, up.said.replace("is up:", "is up already:"))
    status = mesh(place, "status")
    assert status.code == 0
    said = f"The local mesh at {url(up)} is up: 9 pods, 19 processes, mTLS permissive."
    assert status.said.splitlines()[0] == said
    assert [one["url"] for one in kept(place)] == [url(up)]
    assert mesh(place, "down") == Ended(0, "Ended 1 mesh.\n")
    assert mesh(place, "status") == NONE
    place.assert_nothing_left()


def test_another_mesh_beside_it_and_its_port(place: Place) -> None:
    first = url(mesh(place, "up"))
    taken = first.rpartition(":")[2]
    refused = mesh(place, "up", "--mtls", "strict", "--port", taken)
    assert refused.code == 69
    assert f"port {taken} is taken by envoy" in refused.said
    assert "`meshproof mesh status` tells which" in refused.said
    strict = mesh(place, "up", "--mtls", "strict")
    assert strict.code == 0, strict.said
    assert url(strict) != first
    assert [page(one["url"]) != "" for one in kept(place)] == [True, True]
    assert mesh(place, "down").said == "Ended 2 meshes.\n"
    place.assert_nothing_left()


def kill(place: Place, pids: set[int]) -> None:
    for process in place.processes():
        if process.pid in pids:
            process.kill()
    while pids & {process.pid for process in place.processes()}:
        time.sleep(0.01)


def test_status_names_what_has_ended(place: Place) -> None:
    assert mesh(place, "up").code == 0
    (found,) = kept(place)
    victims = {found["processes"][name] for name in ("ratings-v1-0", "reviews-v3-0.envoy")}
    kill(place, victims)
    status = mesh(place, "status")
    assert status.code == 69
    broken = f"The local mesh at {found['url']} is broken: reviews-v3-0.envoy, ratings-v1-0 have"
    assert status.said.startswith(broken)
    assert f"Last lines of {found['folder']}/ratings-v1-0.log:\n    listening on " in status.said
    assert kept(place)[0]["ended"] == ["reviews-v3-0.envoy", "ratings-v1-0"]
    kill(place, set(found["processes"].values()))
    assert "has ended: none of its processes runs." in mesh(place, "status").said
    up = mesh(place, "up")  # clears the one that has ended
    assert [one["url"] for one in kept(place)] == [url(up)]
    assert mesh(place, "down").said == "Ended 1 mesh.\n"
    place.assert_nothing_left()


def test_what_another_version_has_kept_is_ended_too(place: Place) -> None:
    assert mesh(place, "up").code == 0
    (place.runs()[0] / "kept").write_text("not JSON")
    assert mesh(place, "status").code == 69
    assert mesh(place, "down").said == "Ended 1 mesh.\n"
    place.assert_nothing_left()
