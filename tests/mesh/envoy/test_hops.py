from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from meshproof import rules
from meshproof.base.clues import Clue
from meshproof.documents import manifest
from meshproof.mesh.envoy.hops import Hop, describe_hops, read_hops

LINE = (
    "[2026-11-24T11:44:35.519Z] outbound GET reviews:9080/reviews/0?a=b 200 - via_upstream -> "
    "outbound|9080|v3|reviews_default_svc_cluster_local 127.0.0.1:41019 peer=- run=31 id=50d0 "
    "route=reviews-burr.burr cookie=a=b; user=burr\n"
)
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews-burr}
spec:
  hosts: [reviews]
  http:
  - name: burr
    match: [{headers: {cookie: {exact: user=burr}}}]
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: reviews}}]
"""
CALL = Hop(
    pod="page-0",
    direction="outbound",
    host_and_path="reviews:9080/reviews/0?a=b",
    status="200",
    flags="-",
    cluster="outbound|9080|v3|reviews_default_svc_cluster_local",
    id="50d0",
    route="reviews-burr.burr",
    cookie="a=b; user=burr",
)
ARRIVAL = replace(CALL, direction="inbound", cluster="inbound|9080||", route="-")


def tables() -> tuple[rules.model.RouteTable, ...]:
    return rules.read_rules(manifest.parse(RULE, "r.yaml")).tables


def test_a_log_line_is_a_hop(tmp_path: Path) -> None:
    (tmp_path / "page-0.access.log").write_text("not a line of ours\n" + LINE)
    assert list(read_hops(tmp_path, datetime(2026, 11, 24, 11, 44, tzinfo=UTC))) == [CALL]


def test_earlier_hops_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "page-0.access.log").write_text(LINE)
    assert list(read_hops(tmp_path, datetime(2026, 11, 24, 11, 45, tzinfo=UTC))) == []


def test_calls_are_counted_by_route() -> None:
    other_call = replace(CALL, pod="page-1", route="default")
    assert describe_hops(
        [CALL, CALL, replace(CALL, route="reviews-burr"), other_call], tables()
    ) == [
        Clue(
            "calls to reviews by the rule that took them",
            "page-0 2 by 'burr' at r.yaml:8; page-0 1 by 'reviews-burr' at r.yaml:2; "
            "page-1 1 by no rule",
        )
    ]


def test_the_pod_that_lost_a_cookie_is_named() -> None:
    assert describe_hops([ARRIVAL, CALL], tables())[1:] == []
    (clue,) = describe_hops([ARRIVAL, replace(CALL, cookie="-")], tables())[1:]
    assert clue.subject.startswith("page-0 got 1 requests with a cookie and called reviews without")


def test_a_call_without_a_cookie_lost_none_if_none_came() -> None:
    assert (
        describe_hops([replace(ARRIVAL, cookie="-"), replace(CALL, cookie="-")], tables())[1:] == []
    )


def test_errors_of_proxy_and_app_are_distinguished() -> None:
    unrouted = replace(CALL, status="404", flags="NR", cluster="-", route="-")
    broken = replace(ARRIVAL, pod="details-0", status="503")
    refused = replace(broken, flags="UF")
    assert describe_hops([unrouted, broken, refused, replace(broken, status="200")], ()) == [
        Clue("the Envoy of page-0 has no route for reviews:9080/reviews/0", "1 of 1 requests"),
        Clue("the app of details-0 answered 503", "1 of 3 requests"),
        Clue(
            "the Envoy of details-0 cannot connect to what is behind reviews:9080/reviews/0",
            "1 of 3 requests",
        ),
    ]
