"""What istiod says of its proxies, read from answers of the form that istiod 1.31 gives."""

from __future__ import annotations

import json
from typing import Any

from meshproof.mesh.cluster.istio.control_plane import find_refusals
from meshproof.mesh.cluster.proxies.sync import SyncStatus

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LDS = "type.googleapis.com/envoy.config.listener.v3.Listener"
SENT, EARLIER = "2026-11-24T20:03:26Z/15633b89", "2026-11-24T20:01:02Z/1482cc01"


def entry(name: str, **listeners: str) -> dict[str, Any]:
    """Return a proxy whose clusters are acknowledged and whose listeners are as they are given."""
    good = {"sent": SENT, "acked": SENT, "sentTime": "2026-11-24T20:03:30.13Z"}
    resources = {CDS: good, LDS: {"sent": SENT, "sentTime": "2026-11-24T20:03:30.13Z", **listeners}}
    return {"proxy": name, "istio_version": "1.31.0", "resources": resources}


def sync(*answers: list[dict[str, Any]]) -> SyncStatus:
    sync_status = SyncStatus()
    for answer in answers:
        sync_status.add(json.dumps(answer))
    return sync_status


def test_a_proxy_that_has_acknowledged_all_is_in_sync() -> None:
    assert not sync([entry("a.x", acked=SENT)]).faults(["a.x"])


def test_a_proxy_that_is_not_connected_is_named() -> None:
    assert sync([entry("a.x", acked=SENT)]).faults(["a.x", "b.x"]) == [
        "b.x is not connected to istiod"
    ]


def test_a_stale_proxy_is_named_with_what_it_lacks() -> None:
    for stale in (entry("a.x", acked=EARLIER), entry("a.x")):
        assert sync([stale]).faults(["a.x"]) == [
            "a.x: STALE: it has not acknowledged Listener that was sent at 2026-11-24T20:03:30.13Z"
        ]


def test_a_proxy_that_refuses_is_named_with_its_reason() -> None:
    refusing = entry("a.x", acked=EARLIER, lastError="Error adding listener: no such filter\n")
    assert sync([refusing]).faults(["a.x"]) == [
        "a.x: NACK: it refuses Listener: Error adding listener: no such filter"
    ]


def test_an_old_connection_of_a_proxy_does_not_count_beside_a_good_one() -> None:
    good, old = [entry("a.x", acked=SENT)], [entry("a.x", acked=EARLIER)]
    assert not sync(good, old).faults(["a.x"])
    assert not sync(old, good).faults(["a.x"])


def test_an_istiod_without_resources_is_read_by_its_pairs() -> None:
    old = {"proxy": "a.x", "cluster_sent": SENT, "cluster_acked": SENT, "listener_sent": SENT}
    assert sync([old]).faults(["a.x"]) == [
        "a.x: STALE: it has not acknowledged listener that was sent at 2026-11-24T20:03:26Z"
    ]
    assert sync([old]).proxies["a.x"].version == ""


def test_a_refused_update_is_found_in_a_dump() -> None:
    state = {
        "failed_configuration": {"error_state": {"details": "not a state of a resource"}},
        "details": "script load error\n",
    }
    dump = {
        "configs": [
            {"@type": "bootstrap"},
            {
                "dynamic_listeners": [
                    {"name": "virtualInbound", "error_state": state},
                    {"name": "virtualOutbound", "active_state": {"version_info": "1"}},
                ]
            },
        ]
    }
    assert list(find_refusals(dump)) == ["it refuses virtualInbound: script load error"]
