"""The whole gate run on the lab: every promise is kept, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

from tests.lab.commands import everything, list_leftovers, meshproof


def test_the_gate_is_green_and_leaves_nothing(tmp_path: Path) -> None:
    before = everything()
    ended = meshproof("test", "--mesh", "cluster", folder=tmp_path)
    assert ended.code == 0, ended.output
    assert ended.outcomes("VirtualService") == dict.fromkeys(
        (
            "v3 only",
            "cookie user=burr",
            "cookie among others",
            "cookie: others stay",
            "split half",
        ),
        "passed",
    )
    assert ended.outcomes("")["productpage"] == ended.outcomes("")["default rotation"] == "passed"
    assert ended.outcomes("RouteRule") == {}
    for name in ("mtls as declared", "addon prometheus", "addon zipkin", "addon jaeger"):
        assert ended.outcomes("")[name] == "passed"
    assert ended.outcomes("PeerAuthentication") == {"mtls strict": "passed"}
    assert any(note.startswith("way in: NodePort") for note in ended.run.notes)
    assert (everything() ^ before, list_leftovers(ended)) == (set(), [])
