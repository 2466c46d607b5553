"""The oracle of delays, timeouts and retries.

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
    ExpectedAnswer,
    ProxyReply,
    Variant,
    expect_answer,
    to_destination,
)
from meshproof.oracle.conditions import Call
from meshproof.rules.actions import Fault, Retries
from meshproof.rules.model import Match, Route

#: Longer timeouts (seconds) are not proven.
MAX_WAIT = 30.0
#: On a busy machine a shorter delay (seconds) cannot be told from a slow answer.
_MIN_MEASURABLE_DELAY = 0.4
#: A late answer takes twice the limit and this much more (seconds).
_EXTRA_DELAY = 2.0
_MAX_ATTEMPTS = 10
#: Envoy's longest pause before a retry, in seconds (its docs, retry_back_off).
_MAX_PAUSE = 0.25
#: Retry condition -> the failure that meets it: a status, or a grpc-status (`gRPC 14`).
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
#: Istio's default retry conditions, as far as a workload can fail that way.
_DEFAULT_CONDITIONS = ("unavailable", "cancelled")


def derive_variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the further requests that prove timeout, retries and delays of a route."""
    expected = expect_answer(route, match, call)
    fault = route.fault
    if fault is None and expected.proxy_reply_share < 1:
        yield from _derive_timeout_variants(route, call, expected)
        yield from _derive_retry_variants(route, call, expected)
    if fault is not None and 0 < fault.delay_percent < 100 and _is_measurable(fault):
        delayed = replace(expected, delayed_share=fault.delay_percent / 100, ignores_shares=False)
        yield Variant(
            f"{fault.delay_percent:.4g} % after {fault.delay_seconds:.4g} s", call, delayed
        )


def _is_measurable(fault: Fault) -> bool:
    """Say whether the share of delayed answers can be measured."""
    return _MIN_MEASURABLE_DELAY <= fault.delay_seconds <= MAX_JUDGED_DELAY


def list_unproven(route: Route) -> Iterator[str]:
    """Yield in words which timeouts, retries and faults of a route no request proves."""
    fault = route.fault or Fault()
    if fault.delay_seconds and 0 < fault.delay_percent < 100 and not _is_measurable(fault):
        yield f"that {fault.delay_percent:.4g} % are delayed by {fault.delay_seconds:.4g} s"
    if len(route.split) > 1 and fault.delay_percent and fault.delay_seconds > MAX_JUDGED_DELAY:
        yield f"its shares: answers take {fault.delay_seconds:.4g} s"
    if route.timeout and (route.fault or _compute_time_limit(route) > MAX_WAIT):
        yield f"the timeout of {route.timeout:.4g} s"
    if route.retries is not None and (
        route.fault or not _can_prove_retries(route.retries, route.timeout)
    ):
        yield f"the {route.retries.attempts} retries"
    if fault.abort_percent:
        yield from (f"the copies for {to_destination(mirror.target)}" for mirror in route.mirrors)


def _compute_time_limit(route: Route) -> float:
    """Return the seconds after which the proxy gives up on a silent workload, 0 for never."""
    per_try = route.retries.per_try_seconds if route.retries else 0.0
    tries = 1 + (route.retries.attempts if route.retries else 0)
    limits = [limit for limit in (route.timeout or 0.0, per_try * tries) if limit]
    return min(limits, default=0.0)


def _derive_timeout_variants(
    route: Route, call: Call, expected: ExpectedAnswer
) -> Iterator[Variant]:
    """Yield a request that a workload answers too late."""
    limit = _compute_time_limit(route)
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
    """Say whether a workload can fail so often, in that way, before the timeout (seconds)."""
    has_time = not timeout or timeout >= _MAX_PAUSE * (retries.attempts + 2)
    return bool(_pick_failure(retries)) and retries.attempts <= _MAX_ATTEMPTS and has_time


def _pick_failure(retries: Retries) -> str:
    """Return a failure that makes the proxy retry, "" where no workload can fail that way."""
    for word in retries.conditions or _DEFAULT_CONDITIONS:
        if word in _FAILURES or word.isdigit():
            return _FAILURES.get(word, word)
    return ""


def _derive_retry_variants(route: Route, call: Call, expected: ExpectedAnswer) -> Iterator[Variant]:
    """Yield a request that fails as often as retries allow, and one that fails once more."""
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
    """Return `once`, `twice` or `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
