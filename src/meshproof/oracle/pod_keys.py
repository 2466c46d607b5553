"""What keeps requests on one pod (consistentHash), and the requests that show it.

All requests with one value of a key go to one pod; those with many other values do not all go
there. Nothing here is shared with `mesh/`.
Source: istiod, route.HashForHTTPDestination (which hash a route has) and util's
MergeSubsetTrafficPolicy (whether the pods are picked by it).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from meshproof.base.names import is_service
from meshproof.oracle import subsets
from meshproof.oracle.actions import ExpectedAnswer
from meshproof.oracle.conditions import Call
from meshproof.rules.model import PodHash, Route, RuleSet, Target

#: How many requests with one key must all go to one pod. Each workload has 4 pods or more: a mesh
#: that picks them at random passes at most once in 4 ** 19 (2.7e11) runs.
SAME_REQUESTS = 20
#: How many other keys may not all go to that pod. A pod has a quarter of the keys, less than half
#: of them by far on a ring of _MIN_RING entries: all 24 are there by chance in 1 of 2 ** 24 runs.
OTHER_KEYS = 24
#: On a smaller ring one pod may have most of the keys.
_MIN_RING = 256
#: How many values are tried to find those that the route takes.
_TRIED_VALUES = 60
#: Headers that proxies or clients set by themselves, or that frame a message.
_OWN_HEADERS = (
    *("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "upgrade"),
    *("transfer-encoding", "x-forwarded-for", "x-forwarded-proto", "x-request-id"),
)


@dataclass(frozen=True)
class PodKey:
    """What keeps requests on one pod, and calls with other values of it than that of the case."""

    pod_hash: PodHash
    others: tuple[Call, ...]

    def __str__(self) -> str:
        return describe(self.pod_hash)


def describe(pod_hash: PodHash) -> str:
    """Return in words what of a request a hash is of."""
    words = {"header": "header", "cookie": "cookie", "query": "query parameter"}
    if pod_hash.kind == "source":
        return "address of the client"
    return f"{words[pod_hash.kind]} {pod_hash.name}"


def find_hash(rules: RuleSet, target: Target, caller: str) -> PodHash | None:
    """Return the hash that picks the pods of a target for callers of a namespace, or None."""
    rule = subsets.find_rule(rules, target.host, caller) if is_service(target.host) else None
    if rule is None:
        return None
    balancers = dict(rule.balancers)
    return balancers.get(target.subset_name, balancers.get(""))


def list_unproven(
    rules: RuleSet, route: Route, answer: ExpectedAnswer, caller: str
) -> Iterator[str]:
    """Yield in words what is not proven of the hashes of a route's destinations, with the reason.

    Whether enough values of its key are free is not looked at; see `find_key`.
    """
    for target in route.split:
        pod_hash = find_hash(rules, target, caller)
        reason = explain_unproven(pod_hash, route, answer) if pod_hash is not None else ""
        if pod_hash is not None and reason:
            yield describe_unproven(pod_hash, reason)


def describe_unproven(pod_hash: PodHash, reason: str) -> str:
    """Return in words that a hash is not proven."""
    return f"that requests with one {describe(pod_hash)} stay on one pod: {reason}"


def explain_unproven(pod_hash: PodHash, route: Route, answer: ExpectedAnswer) -> str:
    """Return why no request shows which pods a route's hash picks; empty if some can."""
    if len(route.split) != 1:
        return "the requests are split before"
    if answer.proxy_reply or answer.extra_seconds or answer.min_seconds:
        return "its requests are delayed or aborted as well"
    if pod_hash.kind == "header" and _is_own_header(pod_hash.name):
        return "proxies set that header themselves"
    if 0 < pod_hash.table_size < _MIN_RING and not pod_hash.is_maglev:
        return f"on a ring of {pod_hash.table_size} one pod may have most of the values"
    changed = {name.lower() for name in _list_changed_headers(route)}
    header = {"header": pod_hash.name, "cookie": "cookie"}.get(pod_hash.kind)
    return "the route changes it" if header in changed else ""


def _is_own_header(name: str) -> bool:
    """Say whether a proxy, or the client, sets a header by itself."""
    return name in _OWN_HEADERS or name.startswith((":", "x-envoy-", "x-meshproof-"))


def _list_changed_headers(route: Route) -> Iterator[str]:
    """Yield the request headers that a route changes."""
    for headers in route.all_headers:
        changes = headers.request
        yield from (name for name, _ in (*changes.set, *changes.add))
        yield from changes.remove


def find_key(pod_hash: PodHash, call: Call, is_taken: Callable[[Call], bool]) -> PodKeyCalls | None:
    """Return a call with a key of a hash, and the others; None if the route leaves no such values.

    `is_taken` says whether the route takes a call.
    """
    if pod_hash.kind == "source":
        return PodKeyCalls(call, (call,) * OTHER_KEYS)
    numbers = range(_TRIED_VALUES)
    for make_value in (_make_free_value, _lengthen):
        calls = (_set_key(call, pod_hash, make_value, number) for number in numbers)
        taken = list(itertools.islice(filter(is_taken, calls), OTHER_KEYS + 1))
        if len(taken) > OTHER_KEYS:
            return PodKeyCalls(taken[0], tuple(taken[1:]))
    return None


@dataclass(frozen=True)
class PodKeyCalls:
    """A call with one value of a key, and calls with others."""

    same: Call
    others: tuple[Call, ...]


def _make_free_value(present: str, number: int) -> str:
    """Return a value of its own, whatever the call has."""
    return f"meshproof-{number}"


def _lengthen(present: str, number: int) -> str:
    """Return the value of the call with a number behind it: a prefix still holds."""
    return f"{present}{number}"


def _set_key(
    call: Call, pod_hash: PodHash, make_value: Callable[[str, int], str], number: int
) -> Call:
    """Return a call with a value of a hash's key."""
    name = pod_hash.name
    if pod_hash.kind == "query":
        return call.with_query(name, make_value(dict(call.query).get(name, ""), number))
    if pod_hash.kind == "header":
        return call.with_header(name, make_value(call.header(name) or "", number))
    cookies = [cookie for cookie in (call.header("cookie") or "").split("; ") if cookie]
    present = next((cookie for cookie in cookies if cookie.startswith(f"{name}=")), f"{name}=")
    others = [cookie for cookie in cookies if cookie != present]
    value = make_value(present.partition("=")[2], number)
    return call.with_header("cookie", "; ".join([*others, f"{name}={value}"]))
