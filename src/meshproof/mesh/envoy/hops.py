"""Hops: what the sidecars' access logs say of requests, to name where something went wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from meshproof.rules.model import RouteTable

#: Format of an access log line, in Envoy's command operators. The cookie is last: it has spaces.
LINE = (
    "[%START_TIME%] {direction} %REQ(:METHOD)% %REQ(:AUTHORITY)%%REQ(:PATH)% %RESPONSE_CODE% "
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% -> %UPSTREAM_CLUSTER% %UPSTREAM_HOST% "
    "peer=%DOWNSTREAM_PEER_URI_SAN% run=%REQ({run_header})% id=%REQ(X-REQUEST-ID)% "
    "route=%ROUTE_NAME% cookie=%REQ(COOKIE):100%\n"
)
_LINE = re.compile(
    r"\[(?P<time>\S+)\] (?P<direction>\w+) \S+ (?P<asked>\S*) (?P<status>\d+) (?P<flags>\S+) .*"
    r" -> (?P<cluster>\S+) .* id=(?P<id>\S+) route=(?P<route>\S+) cookie=(?P<cookie>.*)"
)
#: Envoy's response flags for answers that it gave itself (its docs, "Access logging").
_OWN_ANSWERS = {
    "NR": "has no route for",
    "NC": "has a route to a cluster that is not there for",
    "UH": "finds no pod behind",
    "UF": "cannot connect to what is behind",
}
_MOST = 4


@dataclass(frozen=True)
class Hop:
    """One request at one sidecar: as it came in (`inbound`) or as the app sent it (`outbound`).

    `asked` is host and path, `cluster` where it went, `flags` Envoy's (`-` for none), `route` the
    name of the rule's route that took it, `id` is the same at every hop of a request if the apps
    pass it on, `cookie` is `-` without one.
    """

    pod: str
    direction: str
    asked: str
    status: str
    flags: str
    cluster: str
    id: str
    route: str
    cookie: str


def read(folder: Path, since: datetime) -> Iterator[Hop]:
    """Return the hops in every `POD.access.log` of a folder that began at `since` or later."""
    for log in sorted(folder.glob("*.access.log")):
        pod = log.name.removesuffix(".access.log")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            found = _LINE.fullmatch(line)
            if found and datetime.fromisoformat(found["time"]) >= since:
                words = found.groupdict()
                del words["time"]
                yield Hop(pod, **words)


def said(hops: Iterable[Hop], rules: Iterable[RouteTable]) -> list[str]:
    """Return what went wrong at which pod, and which routes of `rules` took whose calls."""
    seen = list(hops)
    lines = _errors(seen)
    for rule in rules:
        hosts = tuple(f"|{_statistics_name(host)}" for host in rule.hosts)
        calls = [hop for hop in seen if _statistics_name(hop.cluster).endswith(hosts)]
        service = rule.hosts[0].partition(".")[0]
        lines += _taken(calls, rule, service)
        matches = [match for route in rule.routes for match in route.matches]
        if any(name == "cookie" for match in matches for name, _ in match.headers):
            lines += _lost(seen, calls, service)
    return lines


def _statistics_name(cluster: str) -> str:
    """Envoy logs a cluster by its name in statistics: an underscore stands for each dot."""
    return cluster.replace(".", "_")


def _errors(seen: Iterable[Hop]) -> list[str]:
    """Name the pods whose sidecar, or whose app, answered with an error, the most first."""
    seen_at: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str, str]] = Counter()
    for hop in seen:
        seen_at[hop.pod, hop.direction] += 1
        own = [words for flag, words in _OWN_ANSWERS.items() if flag in hop.flags.split(",")]
        if own:
            told = f"the Envoy of {hop.pod} {own[0]} {hop.asked.partition('?')[0]}"
            found[hop.pod, hop.direction, told] += 1
        elif hop.direction == "inbound" and hop.flags == "-" and hop.status >= "500":
            told = f"the app of {hop.pod} answered {hop.status}"
            found[hop.pod, hop.direction, told] += 1
    return [
        f"{told}: {count} of {seen_at[pod, direction]} requests"
        for (pod, direction, told), count in found.most_common(_MOST)
    ]


def _taken(calls: Iterable[Hop], rule: RouteTable, service: str) -> list[str]:
    taken = Counter((hop.pod, hop.route) for hop in calls).most_common(_MOST)
    shown = "; ".join(f"{pod} {count} by {_route(rule, name)}" for (pod, name), count in taken)
    return [f"calls to {service} by the rule that took them: {shown}"] if taken else []


def _route(rule: RouteTable, name: str) -> str:
    """Return words and place of what Envoy calls `RULE.ARM` or `RULE`, `default` without a rule."""
    if name == "default":
        return "no rule"
    for route in rule.routes:
        if route.name and name == f"{rule.name}.{route.name}":
            return f"'{route.name}' at {route.at}"
    return f"'{name}' at {rule.at}"


def _lost(seen: Iterable[Hop], calls: Iterable[Hop], service: str) -> list[str]:
    """Name the pods that got a request with a cookie and made a call for it without one."""
    got = {(hop.pod, hop.id) for hop in seen if hop.direction == "inbound" and hop.cookie != "-"}
    lost = Counter(call.pod for call in calls if call.cookie == "-" and (call.pod, call.id) in got)
    return [
        f"{pod} got {count} requests with a cookie and called {service} without the cookie: "
        "its app does not pass it on, so no rule on it can match there"
        for pod, count in lost.items()
    ]
