"""The oracle of times and failures: faults that delay, timeouts and retries.

Nothing here is shared with `mesh/` beyond the model. Sources: Istio reference, VirtualService
(HTTPFaultInjection, HTTPRetry); Envoy's docs on retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshproof.oracle.actions import (
    FAILING,
    LATE,
    LONGEST_OFTEN,
    Answer,
    Reply,
    Variant,
    answer,
    destination,
)
from meshproof.oracle.conditions import Call
from meshproof.rules.actions import Fault, Retries
from meshproof.rules.model import Match, Route

#: A longer time than this is not waited for (seconds).
LONGEST = 30.0
#: A shorter delay than this (seconds) is not told from an answer that a busy machine gives late.
_LEAST_TOLD = 0.4
#: So much late is an answer that must come too late, beyond twice its limit (seconds).
_LATER = 2.0
_MOST_ATTEMPTS = 10
#: Time for each attempt at most: Envoy's longest pause before a retry (its docs, retry_back_off).
_PAUSE = 0.25
#: Condition of a retry -> how a workload fails so that it holds (`gRPC 14` is a grpc-status).
_FAILURES = {
    "5xx": "503",
    "gateway-error": "503",
    "retriable-4xx": "409",
    "unavailable": "gRPC 14",
    "cancelled": "gRPC 1",
    "deadline-exceeded": "gRPC 4",
    "resource-exhausted": "gRPC 8",
    "internal": "gRPC 13",
}
#: What Istio retries on where nothing is said, as far as a workload can fail so.
_BY_DEFAULT = ("unavailable", "cancelled")


def variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the requests that show how long a route takes, and how often it is tried."""
    found = answer(route, match, call)
    fault = route.fault
    if fault is None and found.replied < 1:
        yield from _too_late(route, call, found)
        yield from _failing(route, call, found)
    if fault is not None and 0 < fault.delayed < 100 and _told(fault):
        changed = replace(found, delayed=fault.delayed / 100, unjudged=False)
        yield Variant(f"{fault.delayed:.4g} % after {fault.delay:.4g} s", call, changed)


def _told(fault: Fault) -> bool:
    """Say whether it can be judged how many answers a fault delays."""
    return _LEAST_TOLD <= fault.delay <= LONGEST_OFTEN


def unproven(route: Route) -> Iterator[str]:
    """Yield in words what of a route no request looks at."""
    fault = route.fault or Fault()
    if fault.delay and 0 < fault.delayed < 100 and not _told(fault):
        yield f"that {fault.delayed:.4g} % are delayed by {fault.delay:.4g} s"
    if len(route.split) > 1 and fault.delayed and fault.delay > LONGEST_OFTEN:
        yield f"its shares: answers take {fault.delay:.4g} s"
    if route.timeout and (route.fault or _limit(route) > LONGEST):
        yield f"the timeout of {route.timeout:.4g} s"
    if route.retries is not None and (route.fault or not _provable(route.retries, route.timeout)):
        yield f"the {route.retries.attempts} retries"
    if fault.aborted:
        yield from (f"the copies for {destination(one.target)}" for one in route.mirrors)


def _limit(route: Route) -> float:
    """Return the time after which the proxy gives up on a workload that does not answer."""
    each = route.retries.each if route.retries else 0.0
    tries = 1 + (route.retries.attempts if route.retries else 0)
    limits = [one for one in (route.timeout or 0.0, each * tries) if one]
    return min(limits, default=0.0)


def _too_late(route: Route, call: Call, found: Answer) -> Iterator[Variant]:
    """Yield the request that a workload answers too late."""
    limit = _limit(route)
    if not limit or limit > LONGEST:
        return
    each = route.retries.each if route.retries else 0.0
    late = 2 * limit + _LATER
    yield Variant(
        "answered too late",
        call,
        replace(
            found,
            reply=Reply(504, "504"),
            replied=1.0,
            arrivals=(),
            least=min(limit, each) if each else limit,
            late=late,
            asked=((LATE, str(round(late * 1000))),),
        ),
    )


def _provable(retries: Retries, timeout: float | None) -> bool:
    enough = not timeout or timeout >= _PAUSE * (retries.attempts + 2)
    return bool(_failure(retries)) and retries.attempts <= _MOST_ATTEMPTS and enough


def _failure(retries: Retries) -> str:
    """Return how a workload fails so that it is asked again; nothing where it cannot."""
    for word in retries.on or _BY_DEFAULT:
        if word in _FAILURES or word.isdigit():
            return _FAILURES.get(word, word)
    return ""


def _failing(route: Route, call: Call, found: Answer) -> Iterator[Variant]:
    """Yield the requests that a workload fails as often as is forgiven, and once more."""
    retries = route.retries
    if retries is None or not _provable(retries, route.timeout):
        return
    how = _failure(retries)
    often, more = retries.attempts, retries.attempts + 1
    if often:
        asked = ((FAILING, f"{how} x{often}"),)
        forgiven = replace(found, asked=asked, unjudged=True)
        yield Variant(f"failing {_times(often)} with {how}", call, forgiven)
    status = 200 if how.startswith("gRPC") else int(how)
    yield Variant(
        f"failing {_times(more)} with {how}",
        call,
        replace(
            found,
            reply=Reply(status, how),
            replied=1.0,
            arrivals=(),
            asked=((FAILING, f"{how} x{more}"),),
        ),
    )


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
