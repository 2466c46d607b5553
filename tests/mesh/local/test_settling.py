"""A mesh settles before anything is judged, without a request of its own, and says how it did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshproof.mesh.envoy.envoy import ConfigState, Envoy
from meshproof.rules.model import RuleSet
from tests.mesh.envoy.echoes import SUBSETS, Echoes, app, echo_mesh, ruleset


@pytest.fixture(scope="module")
def echoes() -> Iterator[Echoes]:
    with echo_mesh(app("client", "v1"), app("reviews", "v1", "v2")) as echoes:
        yield echoes


def all_to(version: str) -> RuleSet:
    route = f"{{destination: {{host: reviews, subset: {version}}}}}"
    return ruleset(f"{SUBSETS}  http: [{{route: [{route}]}}]\n")


def requests(echoes: Echoes) -> int:
    """Return how many requests the Envoys have got from anyone, their admins left out."""
    texts = [
        envoy.read_admin("/stats?filter=downstream_rq_total$")
        for envoy in echoes.mesh._list_proxies()
    ]
    lines = [line for text in texts for line in text.splitlines() if ".admin." not in line]
    return sum(int(line.rpartition(": ")[2]) for line in lines)


def test_it_names_version_and_proxies_and_sends_nothing(echoes: Echoes) -> None:
    mesh = echoes.mesh
    before, sent = mesh.served, requests(echoes)
    assert before is not None
    with mesh.applied(all_to("v1")) as first:
        assert mesh.served == first
    assert mesh.served is not None
    assert mesh.served.version == before.version
    with mesh.applied(all_to("v2")) as second:
        pass
    with mesh.applied(all_to("v1")) as later:
        pass
    assert len({before.version, first.version, second.version}) == 3
    assert later.version == first.version
    assert first.proxies == len(mesh.list_stats_ports()) == 4
    assert 0 < first.seconds < 15
    assert (first.requests, requests(echoes)) == (0, sent)
    with echoes.client("client-v1-0") as client:
        client.ask()
    assert requests(echoes) > sent, "requests are not seen at all"


def test_only_what_has_changed_is_asked(echoes: Echoes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read_state = Envoy.read_state

    def note(envoy: Envoy) -> ConfigState:
        asked.append(envoy.name)
        return read_state(envoy)

    monkeypatch.setattr(Envoy, "read_state", note)
    with echoes.mesh.applied(all_to("v1")):
        assert "client-v1-0" in asked
        asked.clear()
        with echoes.mesh.applied(all_to("v1")):
            assert asked == [], "the same rules once more"
