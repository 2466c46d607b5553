"""Differences that are understood and not mended: a pattern of the kind -> what it is."""

from __future__ import annotations

OPEN: dict[str, str] = {
    r"refused by local alone: .* serves .*, which is none of the hosts": (
        "on purpose: a rule for a Gateway that serves none of its hosts has no effect there"
    ),
    r"refused by local alone: no request follows from the rules": (
        "on purpose: rules that no request can reach are an error"
    ),
    r"refused by local alone: .*subset _ of .* is not defined": (
        "on purpose: a subset that nobody defines is an error; istiod answers 503"
    ),
    r"refused by local alone: .*does not take _: bad group index": (
        "on purpose: a rewrite with a group that its pattern lacks is an error; Envoy's RE2 "
        "then replaces nothing"
    ),
    r"refused by local alone: this match is not part of one of the route": (
        "on purpose: istiod leaves out a delegate's route that its root never hands over to"
    ),
}
