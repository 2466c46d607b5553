"""Read the hops of requests from the sidecars' access logs, to name where they went wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from meshproof.base.clues import Clue
from meshproof.rules.model import RouteTable

#: Format of an access log line, in Envoy's command operators. The cookie is last: it has spaces.
LOG_FORMAT = (
    "[%START_TIME%] {direction} %REQ(:METHOD)% %REQ(:AUTHORITY)%%REQ(:PATH)% %RESPONSE_CODE% "
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% -> %UPSTREAM_CLUSTER% %UPSTREAM_HOST% "
    "peer=%DOWNSTREAM_PEER_URI_SAN% run=%REQ({run_header})% id=%REQ(X-REQUEST-ID)% "
    "route=%ROUTE_NAME% cookie=%REQ(COOKIE):100%\n"
)
_LOG_LINE = re.compile(
    r"\[(?P<time>\S+)\] (?P<direction>\w+) \S+ (?P<host_and_path>\S*) (?P<status>\d+) "
    r"(?P<flags>\S+) .*"
    r" -> (?P<cluster>\S+) .* id=(?P<id>\S+) route=(?P<route>\S+) cookie=(?P<cookie>.*)"
)
#: Envoy's response flags for errors of its own (its docs, "Access logging").
_PROXY_ERRORS = {
    "NR": "has no route for",
    "NC": "has a route to a cluster that is not there for",
    "UH": "finds no pod behind",
    "UF": "cannot connect to what is behind",
}
_MAX_COUNTS = 4


@dataclass(frozen=True)
class Hop:
    """One request at one sidecar: `inbound` as it arrived, `outbound` as the app sent it.

    `cluster` is its destination, `flags` are Envoy's response flags (`-` for none), `route` is the
    name of the rule's route that took it. `id` is the same at every hop of a request if the apps
    forward it. `cookie` is `-` without one.
    """

    pod: str
    direction: str
    host_and_path: str
    status: str
    flags: str
    cluster: str
    id: str
    route: str
    cookie: str


def read_hops(folder: Path, since: datetime) -> Iterator[Hop]:
    """Yield the hops that began at `since` or later, from every `POD.access.log` of a folder."""
    for log in sorted(folder.glob("*.access.log")):
        pod = log.name.removesuffix(".access.log")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            parsed = _LOG_LINE.fullmatch(line)
            if parsed and datetime.fromisoformat(parsed["time"]) >= since:
                fields = parsed.groupdict()
                del fields["time"]
                yield Hop(pod, **fields)


def describe_hops(all_hops: Iterable[Hop], tables: Iterable[RouteTable]) -> list[Clue]:
    """Return what went wrong at which pod, and which routes of `tables` took whose calls."""
    hops = list(all_hops)
    clues = _describe_errors(hops)
    for table in tables:
        hosts = tuple(f"|{_to_statistics_name(host)}" for host in table.hosts)
        calls = [hop for hop in hops if _to_statistics_name(hop.cluster).endswith(hosts)]
        service = table.hosts[0].partition(".")[0]
        clues += _describe_used_routes(calls, table, service)
        matches = [match for route in table.routes for match in route.matches]
        if any(name == "cookie" for match in matches for name, _ in match.headers):
            clues += _describe_lost_cookies(hops, calls, service)
    return clues


def _to_statistics_name(cluster: str) -> str:
    """Return a cluster's name as Envoy logs it: with an underscore for each dot."""
    return cluster.replace(".", "_")


def _describe_errors(hops: Iterable[Hop]) -> list[Clue]:
    """Name the pods whose sidecar or app answered with an error, the most frequent first."""
    totals: Counter[tuple[str, str]] = Counter()
    errors: Counter[tuple[str, str, str]] = Counter()
    for hop in hops:
        totals[hop.pod, hop.direction] += 1
        messages = [
            message for flag, message in _PROXY_ERRORS.items() if flag in hop.flags.split(",")
        ]
        if messages:
            error = f"the Envoy of {hop.pod} {messages[0]} {hop.host_and_path.partition('?')[0]}"
            errors[hop.pod, hop.direction, error] += 1
        elif hop.direction == "inbound" and hop.flags == "-" and hop.status >= "500":
            error = f"the app of {hop.pod} answered {hop.status}"
            errors[hop.pod, hop.direction, error] += 1
    return [
        Clue(error, f"{count} of {totals[pod, direction]} requests")
        for (pod, direction, error), count in errors.most_common(_MAX_COUNTS)
    ]


def _describe_used_routes(calls: Iterable[Hop], table: RouteTable, service: str) -> list[Clue]:
    """Say which pod's calls to `service` were taken by which route, the most frequent first."""
    counts = Counter((hop.pod, hop.route) for hop in calls).most_common(_MAX_COUNTS)
    routes_text = "; ".join(
        f"{pod} {count} by {_describe_route(table, name)}" for (pod, name), count in counts
    )
    subject = f"calls to {service} by the rule that took them"
    return [Clue(subject, routes_text)] if counts else []


def _describe_route(table: RouteTable, name: str) -> str:
    """Return name and place of a route that Envoy logs as `TABLE.ROUTE` or `TABLE`."""
    if name == "default":
        return "no rule"
    for route in table.routes:
        if route.name and name == f"{table.name}.{route.name}":
            return f"'{route.name}' at {route.at}"
    return f"'{name}' at {table.at}"


def _describe_lost_cookies(hops: Iterable[Hop], calls: Iterable[Hop], service: str) -> list[Clue]:
    """Name the pods that got a request with a cookie and made a call for it without one."""
    with_cookie = {
        (hop.pod, hop.id) for hop in hops if hop.direction == "inbound" and hop.cookie != "-"
    }
    counts = Counter(
        call.pod for call in calls if call.cookie == "-" and (call.pod, call.id) in with_cookie
    )
    return [
        Clue(
            f"{pod} got {count} requests with a cookie and called {service} without the cookie",
            "its app does not pass it on, so no rule on it can match there",
        )
        for pod, count in counts.items()
    ]
