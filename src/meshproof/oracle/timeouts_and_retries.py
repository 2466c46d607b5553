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
#: A late answer takes this many times the limit, and _EXTRA_DELAY more (seconds): a limit that is
#: served longer than that lets the answer pass.
_LATE_FACTOR = 1.5
_EXTRA_DELAY = 1.0
#: Conditions on which Envoy retries a try that was cut off (its docs, x-envoy-retry-on).
_RETRIES_TIMEOUTS = frozenset({"5xx", "gateway-error", "reset"})
_MAX_ATTEMPTS = 10
#: Envoy's longest pause before a retry, in seconds (its docs, retry_back_off).
_MAX_PAUSE = 0.25
#: Retry condition -> the failure that meets it: a status, or a grpc-status (`gRPC 14`).
_FAILURES = {
    "5xx": "500",
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
#: Statuses that are tried where no condition retries them.
STATUSES = ("500", "502", "503", "504", "409")
#: Retry condition -> the statuses that it takes (Envoy's docs, x-envoy-retry-on).
_RETRIED_STATUSES: dict[str, tuple[str, ...]] = {
    "5xx": ("500", "502", "503", "504"),
    "gateway-error": ("502", "503", "504"),
    "retriable-4xx": ("409",),
}


def derive_variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the further requests that prove timeout, retries and delays of a route."""
    expected = expect_answer(route, match, call)
    fault = route.fault
    if fault is None and expected.proxy_reply_share < 1:
        yield from _derive_timeout_variants(route, call, expected)
        yield from _derive_try_variants(route, call, expected)
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
    limit = _compute_time_limit(route)
    if route.timeout and (route.fault or limit > MAX_WAIT):
        yield f"the timeout of {route.timeout:.4g} s"
    elif route.timeout and limit < route.timeout:
        yield f"the timeout of {route.timeout:.4g} s: its tries are over before"
    if route.retries is not None:
        if route.fault or not _can_prove_retries(route.retries, route.timeout):
            yield f"the {route.retries.attempts} retries"
        if route.retries.per_try_seconds and (route.fault or not _compute_try_delay(route)):
            ignored = "" if route.retries.attempts else ": without retries Istio ignores it"
            yield f"the perTryTimeout of {route.retries.per_try_seconds:.4g} s{ignored}"
        if route.retries.avoids_tried_pods is not None:
            other = "another pod" if route.retries.avoids_tried_pods else "any pod"
            yield f"that a further try goes to {other} (retryIgnorePreviousHosts)"
    if fault.abort_percent:
        yield from (f"the copies for {to_destination(mirror.target)}" for mirror in route.mirrors)


def _get_try_limit(route: Route) -> float:
    """Return the perTryTimeout in seconds, 0 for none.

    Without attempts istiod serves no retry policy, which alone can hold it (retry.ConvertPolicy).
    """
    has_attempts = route.retries is not None and route.retries.attempts > 0
    return route.retries.per_try_seconds if route.retries and has_attempts else 0.0


def _count_cut_tries(route: Route) -> int:
    """Return how many tries of a request may be cut off by perTryTimeout, one after the other."""
    retries = route.retries
    if retries is None or not _RETRIES_TIMEOUTS & set(retries.conditions):
        return 1
    return 1 + retries.attempts


def _compute_time_limit(route: Route) -> float:
    """Return the seconds after which the proxy gives up on a silent workload, 0 for never."""
    per_try = _get_try_limit(route)
    limits = [limit for limit in (route.timeout or 0.0, per_try * _count_cut_tries(route)) if limit]
    return min(limits, default=0.0)


def _derive_timeout_variants(
    route: Route, call: Call, expected: ExpectedAnswer
) -> Iterator[Variant]:
    """Yield a request that a workload answers too late for the timeout."""
    limit = _compute_time_limit(route)
    if route.timeout == limit and 0 < limit <= MAX_WAIT:
        yield _make_late_variant("answered too late", call, expected, limit, limit)


def _derive_try_variants(route: Route, call: Call, expected: ExpectedAnswer) -> Iterator[Variant]:
    """Yield a request that a workload answers too late for perTryTimeout, but not the timeout."""
    if route.retries and (delay := _compute_try_delay(route)):
        yield _make_late_variant(
            "answered too late for a try",
            call,
            expected,
            _compute_time_limit(route),
            route.retries.per_try_seconds,
            delay,
        )


def _compute_try_delay(route: Route) -> float:
    """Return the seconds after which a workload answers too late for a try, 0 if that is unproven.

    The timeout must not come first: it would cut the request off in the same way.
    """
    per_try = _get_try_limit(route)
    delay = _LATE_FACTOR * per_try + _EXTRA_DELAY
    is_alone = not route.timeout or delay + _EXTRA_DELAY <= route.timeout
    return delay if per_try and is_alone and _compute_time_limit(route) <= MAX_WAIT else 0.0


def _make_late_variant(
    description: str,
    call: Call,
    expected: ExpectedAnswer,
    min_seconds: float,
    limit: float,
    delay: float = 0.0,
) -> Variant:
    """Return a request that is cut off after `min_seconds`; its workload answers after `delay`."""
    delay = delay or _LATE_FACTOR * limit + _EXTRA_DELAY
    answer = replace(
        expected,
        proxy_reply=ProxyReply(504, "504"),
        proxy_reply_share=1.0,
        arrivals=(),
        min_seconds=min_seconds,
        extra_seconds=max(delay, min_seconds),
        instruction_headers=((DELAY_HEADER, str(round(delay * 1000))),),
    )
    return Variant(description, call, answer)


def _can_prove_retries(retries: Retries, timeout: float | None) -> bool:
    """Say whether a workload can fail so often, in that way, before the timeout (seconds)."""
    has_time = not timeout or timeout >= _MAX_PAUSE * (retries.attempts + 2)
    return bool(_list_failures(retries)) and retries.attempts <= _MAX_ATTEMPTS and has_time


def _list_failures(retries: Retries) -> list[str]:
    """Return a failure for each condition on which the proxy retries and a workload can fail."""
    conditions = retries.conditions or _DEFAULT_CONDITIONS
    failures = (
        _FAILURES.get(word, word) for word in conditions if word in _FAILURES or word.isdigit()
    )
    return list(dict.fromkeys(failures))


def _list_unretried_failures(retries: Retries) -> Iterator[str]:
    """Yield the failures that no condition retries: statuses, and those of gRPC if one is named."""
    conditions = retries.conditions or _DEFAULT_CONDITIONS
    retried = {status for word in conditions for status in _RETRIED_STATUSES.get(word, (word,))}
    if not retries.conditions:
        retried.add("503")  # older Istios retry it by default (their issue 50506)
    yield from (status for status in STATUSES if status not in retried)
    grpc_statuses = {word: name for word, name in _FAILURES.items() if name.startswith("gRPC")}
    if grpc_statuses.keys() & set(conditions):
        yield from (name for word, name in grpc_statuses.items() if word not in conditions)


def _derive_retry_variants(route: Route, call: Call, expected: ExpectedAnswer) -> Iterator[Variant]:
    """Yield requests that fail as often as retries allow, once more, and in a way not retried."""
    retries = route.retries
    if retries is None or not _can_prove_retries(retries, route.timeout):
        return
    failure, *other_failures = _list_failures(retries)
    attempts = retries.attempts
    forgiven = replace(expected, ignores_shares=True)
    for repeated in (failure, *other_failures) if attempts else ():
        count = attempts if repeated == failure else 1
        instructions = ((FAILURE_HEADER, f"{repeated} x{count}"),)
        yield Variant(
            f"failing {_spell_count(count)} with {repeated}",
            call,
            replace(forgiven, instruction_headers=instructions),
        )
    yield _make_failing_variant(call, expected, failure, attempts + 1)
    for unretried in _list_unretried_failures(retries) if attempts else ():
        yield _make_failing_variant(call, expected, unretried, 1)


def _make_failing_variant(
    call: Call, expected: ExpectedAnswer, failure: str, count: int
) -> Variant:
    """Return a request that fails `count` times, after which the proxy passes the failure on."""
    status = 200 if failure.startswith("gRPC") else int(failure)
    answer = replace(
        expected,
        proxy_reply=ProxyReply(status, failure),
        proxy_reply_share=1.0,
        arrivals=(),
        instruction_headers=((FAILURE_HEADER, f"{failure} x{count}"),),
    )
    return Variant(f"failing {_spell_count(count)} with {failure}", call, answer)


def _spell_count(count: int) -> str:
    """Return `once`, `twice` or `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
