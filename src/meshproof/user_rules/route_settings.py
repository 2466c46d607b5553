"""What a route does that its plain requests do not show: timeouts, retries, copies, CORS.

Such settings are compared as the rules say them, in words that are the same for the same meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshproof.oracle.actions import group_by_destination, to_destination
from meshproof.rules.actions import Cors, HeaderChanges, Retries
from meshproof.rules.model import Mirror, Route, StringMatch, Target
from meshproof.user_rules.destination_settings import PORT_OF

#: Name of a setting -> its text -> both in words.
Settings = Mapping[str, str]

CORS = "CORS"
#: Name of a setting -> what a route without it does.
_ABSENT = {
    "timeout": "no timeout",
    "retries": "the mesh's own retries",
    "delay": "no share is delayed",
    "copies": "no copies",
    CORS: "no corsPolicy",
    "headers": "the same headers for each weight",
    "TLS": "no TLS at its Gateway",
}
#: What istiod retries where no rule says it, and how often.
#: Source: Istio, pilot/pkg/networking/core/route/retry, DefaultPolicy.
_OWN_CONDITIONS = frozenset({"connect-failure", "refused-stream", "unavailable", "cancelled"})
_OWN_ATTEMPTS = 2
#: istiod adds it where a condition is a status.
_STATUS_CONDITION = "retriable-status-codes"


def list_settings(route: Route) -> Settings:
    """Return the settings of a route that has destinations; those that are usual are absent."""
    fault = route.fault
    is_partly_delayed = fault and fault.delay_seconds and 0 < fault.delay_percent < 100
    texts = {
        "timeout": f"timeout {route.timeout:.9g} s" if route.timeout else "",
        "retries": _describe_retries(route.retries) if route.retries else "",
        "delay": f"{fault.delay_percent:.9g} % are delayed by {fault.delay_seconds:.9g} s"
        if fault and is_partly_delayed
        else "",
        "copies": _describe_copies(route.mirrors),
        CORS: _describe_cors(route.cors) if route.cors else "",
        "headers": "; ".join(_describe_weighted_headers(route)),
    }
    return {name: text for name, text in texts.items() if text}


def describe_differing(settings: Settings, others: Settings) -> list[str]:
    """Return in words each setting that is another one in `others`, also one that is absent.

    A port counts only where both say it.
    """
    names = dict.fromkeys((*_ABSENT, *settings, *others))
    return [
        settings.get(name, _ABSENT.get(name, f"no {name}"))
        for name in names
        if settings.get(name) != others.get(name)
        and (not name.startswith(PORT_OF) or (name in settings and name in others))
    ]


def _describe_retries(retries: Retries) -> str:
    """Return retries in words, "" for those that istiod adds to each route anyway."""
    if not retries.attempts:
        return "no retries"
    conditions = set(retries.conditions) - {_STATUS_CONDITION} or _OWN_CONDITIONS
    if (
        conditions == _OWN_CONDITIONS
        and retries.attempts == _OWN_ATTEMPTS
        and not retries.per_try_seconds
    ):
        return ""
    per_try = f", {retries.per_try_seconds:.9g} s for each try" if retries.per_try_seconds else ""
    return f"{retries.attempts} retries on {', '.join(sorted(conditions))}{per_try}"


def _describe_copies(mirrors: tuple[Mirror, ...]) -> str:
    """Return in words who gets copies of which share."""
    copies = sorted(
        f"{mirror.percent:.9g} % to {to_destination(mirror.target)}"
        for mirror in mirrors
        if mirror.percent
    )
    return f"copies: {', '.join(copies)}" if copies else ""


def _describe_cors(cors: Cors) -> str:
    """Return a policy in words: whom it allows, and what their pages may do."""
    lists = (
        ("methods", cors.methods),
        ("headers", [name.lower() for name in cors.headers]),
        ("exposed headers", [name.lower() for name in cors.exposed_headers]),
    )
    parts = [f"corsPolicy: origins {_join_sorted(map(_describe_origin, cors.origins)) or 'none'}"]
    parts += [f"{name} {_join_sorted(values)}" for name, values in lists if values]
    parts += [f"max age {cors.max_age} s"] if cors.max_age is not None else []
    parts += ["credentials"] if cors.allow_credentials else []
    parts += [] if cors.forwards_unmatched else ["foreign preflights are not forwarded"]
    return ", ".join(parts)


def _describe_origin(origin: StringMatch) -> str:
    """Return an origin in words; an exact `*` allows all."""
    return "*" if origin.value == "*" else str(origin)


def _join_sorted(words: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    return " ".join(sorted(set(words)))


def _describe_weighted_headers(route: Route) -> Iterator[str]:
    """Yield the headers of each weight where weights of one destination have different ones."""
    for destination, targets in group_by_destination(route).items():
        if len({target.headers for target in targets}) > 1:
            weights = sorted(map(_describe_weight, targets))
            yield f"{destination} by weight: {', '.join(weights)}"


def _describe_weight(target: Target) -> str:
    """Return a weight with its header changes."""
    changes = [
        f"{word} {text}"
        for word, headers in (
            ("request", target.headers.request),
            ("response", target.headers.response),
        )
        for text in _describe_headers(headers)
    ]
    return f"{target.weight} with {' and '.join(changes) or 'no change'}"


def _describe_headers(changes: HeaderChanges) -> Iterator[str]:
    """Yield each change of a header in words."""
    for verb, pairs in (("set", changes.set), ("add", changes.add)):
        yield from (f"{verb} {name} '{value}'" for name, value in sorted(pairs))
    yield from (f"remove {name}" for name in sorted(changes.remove))
