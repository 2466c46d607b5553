"""Reads the actions of a RouteRule: redirect, rewrite, fault and the like.

Source: the routing/v1alpha1 protos of Istio 0.1 to 0.7 (route_rule, http_redirect, http_fault and
the like). What they leave open follows the pilot of that time: a redirect is a 302; a retry
happens on 5xx, connect-failure and refused-stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meshproof.documents.manifest import Value
from meshproof.rules import cors
from meshproof.rules.actions import (
    UNCHANGED,
    Fault,
    HeaderChanges,
    Headers,
    Redirect,
    Retries,
    Rewrite,
)
from meshproof.rules.common_fields import read_percentage, read_seconds
from meshproof.rules.model import Mirror, Route, Target
from meshproof.rules.written import (
    WrittenActions,
    WrittenFault,
    WrittenHeaders,
    WrittenLimits,
    WrittenRedirect,
    WrittenRewrite,
)

_RETRY_CONDITIONS = ("5xx", "connect-failure", "refused-stream")
_FORWARDING_KEYS = ("httpFault", "mirror", "rewrite", "route")


def add_actions(
    route: Route, written: WrittenActions, read_target: Callable[[Value], Target]
) -> Route:
    """Return the route with its actions as they are written; `read_target` reads an IstioService.

    Raises BadRules for invalid values.
    """
    written.check_form()
    limits = written.limits
    return replace(
        route,
        redirect=_read_redirect(written.redirect),
        rewrite=_read_rewrite(written.rewrite),
        headers=_read_headers(written.headers),
        fault=_read_fault(written.faults),
        timeout=read_seconds(limits.timeout) if limits.timeout is not None else None,
        retries=_read_retries(limits),
        mirrors=tuple(Mirror(read_target(mirror.value)) for mirror in written.mirrors),
        cors=cors.read_route_rule_cors(written.cors),
    )


def needs_route(spec: Value) -> bool:
    """Say whether a rule needs a route: not if it redirects.

    Raises BadRules for a redirect with keys that forward requests.
    """
    if spec.get("redirect") is None:
        return True
    for key in (key for key in _FORWARDING_KEYS if spec.get(key)):
        raise spec.keys[key].error(f"'{key}' has no place beside 'redirect'", path=spec.path)
    return False


def _read_uri_and_authority(
    value: Value, uri: Value | None, authority: Value | None
) -> tuple[str, str]:
    """Return the keys uri and authority. Raises BadRules if both are missing."""
    if uri is None and authority is None:
        raise value.lacks("at least one of authority, uri")
    return uri.text() if uri else "", authority.text() if authority else ""


def _read_redirect(written: WrittenRedirect | None) -> Redirect | None:
    if written is None:
        return None
    return Redirect(302, *_read_uri_and_authority(written.value, written.path, written.host))


def _read_rewrite(written: WrittenRewrite | None) -> Rewrite | None:
    if written is None:
        return None
    texts = _read_uri_and_authority(written.value, written.prefix, written.host)
    return Rewrite(*texts, at=written.value.at)


def _read_headers(headers: WrittenHeaders) -> Headers:
    if headers.request is None:
        return UNCHANGED
    added = tuple((header.name.lower(), header.value.text()) for header in headers.request.add)
    return Headers(request=HeaderChanges(add=added))


def _read_fault(faults: tuple[WrittenFault, ...]) -> Fault | None:
    fault = Fault()
    for written in faults:
        share = read_percentage(written.percentage, 0.0)
        if written.duration is not None:
            seconds = read_seconds(written.duration)
            fault = replace(fault, delay_seconds=seconds, delay_percent=share)
        if written.status is not None:
            status = written.status.integer(200, 599)
            fault = replace(fault, abort_status=status, abort_percent=share)
    return fault if fault != Fault() else None


def _read_retries(limits: WrittenLimits) -> Retries | None:
    if limits.attempts is None:
        return None
    attempts = limits.attempts.integer(0, 2**31 - 1)
    seconds = read_seconds(limits.try_timeout) if limits.try_timeout else 0.0
    # The limit of a try says nothing where there is no second one.
    return Retries(attempts, seconds, _RETRY_CONDITIONS) if attempts else Retries(0)
