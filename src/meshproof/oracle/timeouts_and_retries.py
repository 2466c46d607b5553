"""The oracle of times and failures: faults that delay, timeouts and retries.

Nothing here is shared with `mesh/` beyond the model. Sources: Istio reference, VirtualService
(HTTPFaultInjection, HTTPRetry); Envoy's docs on retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshproof.oracle.actions import (
    DELAY_HEADER,
    FAILURE_HEADER,
    MAX_JUDGED_DELAY,
    Answer,
    ProxyReply,
    Variant,
    expect_answer,
    to_destination,
)
from meshproof.oracle.conditions import Call
from meshproof.rules.actions import Fault, Retries
from meshproof.rules.model import Match, Route

#: A longer time than this is not waited for (seconds).
MAX_WAIT = 30.0
#: A shorter delay than this (seconds) is not told from an answer that a busy machine gives late.
_MIN_MEASURABLE_DELAY = 0.4
#: So much late is an answer that must come too late, beyond twice its limit (seconds).
_EXTRA_DELAY = 2.0
_MAX_ATTEMPTS = 10
#: Time for each attempt at most: Envoy's longest pause before a retry (its docs, retry_back_off).
_MAX_PAUSE = 0.25
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
_DEFAULT_CONDITIONS = ("unavailable", "cancelled")


def derive_variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the requests that show how long a route takes, and how often it is tried."""
    expected = expect_answer(route, match, call)
    fault = route.fault
    if fault is None and expected.proxy_reply_share < 1:
        yield from _timeout_variants(route, call, expected)
        yield from _retry_variants(route, call, expected)
    if fault is not None and 0 < fault.delay_percent < 100 and _is_measurable(fault):
        delayed = replace(expected, delayed_share=fault.delay_percent / 100, ignores_shares=False)
        yield Variant(
            f"{fault.delay_percent:.4g} % after {fault.delay_seconds:.4g} s", call, delayed
        )


def _is_measurable(fault: Fault) -> bool:
    """Say whether it can be judged how many answers a fault delays."""
    return _MIN_MEASURABLE_DELAY <= fault.delay_seconds <= MAX_JUDGED_DELAY


def list_unproven(route: Route) -> Iterator[str]:
    """Yield in words what of a route no request looks at."""
    fault = route.fault or Fault()
    if fault.delay_seconds and 0 < fault.delay_percent < 100 and not _is_measurable(fault):
        yield f"that {fault.delay_percent:.4g} % are delayed by {fault.delay_seconds:.4g} s"
    if len(route.split) > 1 and fault.delay_percent and fault.delay_seconds > MAX_JUDGED_DELAY:
        yield f"its shares: answers take {fault.delay_seconds:.4g} s"
    if route.timeout and (route.fault or _time_limit(route) > MAX_WAIT):
        yield f"the timeout of {route.timeout:.4g} s"
    if route.retries is not None and (
        route.fault or not _can_prove_retries(route.retries, route.timeout)
    ):
        yield f"the {route.retries.attempts} retries"
    if fault.abort_percent:
        yield from (f"the copies for {to_destination(mirror.target)}" for mirror in route.mirrors)


def _time_limit(route: Route) -> float:
    """Return the time after which the proxy gives up on a workload that does not answer."""
    per_try = route.retries.per_try_seconds if route.retries else 0.0
    tries = 1 + (route.retries.attempts if route.retries else 0)
    limits = [limit for limit in (route.timeout or 0.0, per_try * tries) if limit]
    return min(limits, default=0.0)


def _timeout_variants(route: Route, call: Call, expected: Answer) -> Iterator[Variant]:
    """Yield the request that a workload answers too late."""
    limit = _time_limit(route)
    if not limit or limit > MAX_WAIT:
        return
    per_try = route.retries.per_try_seconds if route.retries else 0.0
    delay = 2 * limit + _EXTRA_DELAY
    yield Variant(
        "answered too late",
        call,
        replace(
            expected,
            proxy_reply=ProxyReply(504, "504"),
            proxy_reply_share=1.0,
            arrivals=(),
            min_seconds=min(limit, per_try) if per_try else limit,
            extra_seconds=delay,
            instruction_headers=((DELAY_HEADER, str(round(delay * 1000))),),
        ),
    )


def _can_prove_retries(retries: Retries, timeout: float | None) -> bool:
    has_time = not timeout or timeout >= _MAX_PAUSE * (retries.attempts + 2)
    return bool(_pick_failure(retries)) and retries.attempts <= _MAX_ATTEMPTS and has_time


def _pick_failure(retries: Retries) -> str:
    """Return how a workload fails so that it is asked again; nothing where it cannot."""
    for word in retries.conditions or _DEFAULT_CONDITIONS:
        if word in _FAILURES or word.isdigit():
            return _FAILURES.get(word, word)
    return ""


def _retry_variants(route: Route, call: Call, expected: Answer) -> Iterator[Variant]:
    """Yield the requests that a workload fails as often as is forgiven, and once more."""
    retries = route.retries
    if retries is None or not _can_prove_retries(retries, route.timeout):
        return
    failure = _pick_failure(retries)
    attempts, too_many = retries.attempts, retries.attempts + 1
    if attempts:
        instructions = ((FAILURE_HEADER, f"{failure} x{attempts}"),)
        forgiven = replace(expected, instruction_headers=instructions, ignores_shares=True)
        yield Variant(f"failing {_spell_count(attempts)} with {failure}", call, forgiven)
    status = 200 if failure.startswith("gRPC") else int(failure)
    yield Variant(
        f"failing {_spell_count(too_many)} with {failure}",
        call,
        replace(
            expected,
            proxy_reply=ProxyReply(status, failure),
            proxy_reply_share=1.0,
            arrivals=(),
            instruction_headers=((FAILURE_HEADER, f"{failure} x{too_many}"),),
        ),
    )


def _spell_count(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
