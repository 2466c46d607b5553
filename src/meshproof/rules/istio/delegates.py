"""Delegation: a route of one VirtualService that another one without hosts fills.

Source: Istio reference, VirtualService (Delegate): one level only, and the matches of the other
must each be part of one of the route's own. Where Istio would leave a route out, it is named here.
What is part of what is told as istiod does: by exact values and prefixes, never by regexes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from meshproof.base.errors import nearest
from meshproof.documents.manifest import Document, Value
from meshproof.rules import judge_options
from meshproof.rules.actions import UNCHANGED
from meshproof.rules.istio import actions
from meshproof.rules.model import Match, Route, StringMatch

#: What a delegate's route has from the one that delegates, where it says nothing; nothing is this.
_INHERITED = {
    "rewrite": None,
    "headers": UNCHANGED,
    "fault": None,
    "timeout": None,
    "retries": None,
    "mirrors": (),
    "cors": None,
}
#: What only makes sense where requests are sent on.
_ON_THE_WAY = ("rewrite", "fault", "mirrors")
Pairs = tuple[tuple[str, StringMatch], ...]


@dataclass(frozen=True)
class Delegates:
    """The VirtualServices without hosts, by namespace and name; `read` returns their routes."""

    known: dict[tuple[str, str], Document]
    rooted: dict[tuple[str, str], Document]
    read: Callable[[Document], tuple[Route, ...]]

    @classmethod
    def among(
        cls, documents: Iterable[Document], read: Callable[[Document], tuple[Route, ...]]
    ) -> Delegates:
        """Return those among some VirtualServices."""
        known: dict[tuple[str, str], Document] = {}
        rooted: dict[tuple[str, str], Document] = {}
        for one in documents:
            hosts = one.spec.get("hosts")
            of = rooted if hosts is not None and hosts.items() else known
            of[one.namespace, one.name] = one
        return cls(known, rooted, read)

    def roots(self) -> list[Document]:
        """Return the VirtualServices that are no delegate of another one, in order.

        One without hosts that nobody names is among them: what it says would hold nowhere.
        """
        named = {
            _named(found, one.namespace)
            for one in self.rooted.values()
            for route in one.spec.entries("http")
            if (found := route.get("delegate")) is not None
        }
        left = [one for key, one in self.known.items() if key not in named]
        return sorted([*self.rooted.values(), *left], key=lambda one: one.at)

    def routes(self, root: Route, value: Value, namespace: str) -> Iterator[Route]:
        """Yield the routes that a delegate puts in the place of `root`.

        Raises BadRules for a delegate that is missing or is none, and for a route of it that Istio
        would leave out.
        """
        found = value.need("delegate")
        key = _named(found, namespace)
        name = "/".join(key)
        if key in self.rooted:
            raise found.at.error(
                f"{found.path}: {name} at {self.rooted[key].at} has hosts of its own, so that "
                "nothing can be delegated to it"
            )
        if key not in self.known:
            hint = nearest(name, ["/".join(one) for one in self.known])
            raise found.at.missing(f"{found.path}: there is no VirtualService {name}{hint}", key[0])
        document = self.known[key]
        document.spec.allow("exportTo", "hosts", "http")
        for route, part in zip(
            document.spec.need("http").items(), self.read(document), strict=True
        ):
            if (deeper := route.get("delegate")) is not None:
                raise deeper.at.error(
                    f"{deeper.path}: {name} is delegated to itself, and Istio delegates once"
                )
            yield _merged(root, part)


def _named(found: Value, namespace: str) -> tuple[str, str]:
    found.allow("name", "namespace")
    owner = found.get("namespace")
    return owner.text() if owner else namespace, found.need("name").filled()


def _merged(root: Route, part: Route) -> Route:
    inherited = {
        key: getattr(root, key)
        for key, nothing in _INHERITED.items()
        if getattr(part, key) == nothing and getattr(root, key) != nothing
    }
    for key in (key for key in _ON_THE_WAY if key in inherited and not part.split):
        raise part.at.error(
            f"the route at {root.at} delegates to this one and has '{key}', which makes no sense "
            "where nothing is sent on"
        )
    found = replace(
        part,
        matches=tuple(_matches(root, part)),
        name="-".join(filter(None, (root.name, part.name))),
        options=judge_options.over(part.options, root.options),
        **inherited,
    )
    actions.check_headers(found)
    return found


def _matches(root: Route, part: Route) -> Iterator[Match]:
    """Yield the matches of both: each of the part's within each of the root's that takes it."""
    if not (root.matches and part.matches):
        yield from root.matches or part.matches
        return
    for match in part.matches:
        wider = [one for one in root.matches if not _conflict(one, match)]
        if not wider:
            raise match.at.error(
                f"this match is not part of one of the route at {root.at}, which delegates to it: "
                "Istio leaves such a route out"
            )
        yield from (_both(one, match) for one in wider)


def _conflict(root: Match, leaf: Match) -> bool:
    """Say whether a match is no part of another one, as istiod tells it."""
    singles = ("uri", "scheme", "method", "authority")
    several = ("headers", "without_headers", "query")
    labels = dict(root.source)
    return (
        any(_outside(getattr(root, key), getattr(leaf, key)) for key in singles)
        or any(
            _outside(dict(getattr(root, key)).get(name), value)
            for key in several
            for name, value in getattr(leaf, key)
        )
        or root.ignore_uri_case != leaf.ignore_uri_case
        or (None not in (root.port, leaf.port) and root.port != leaf.port)
        or (root.source_namespace not in ("", leaf.source_namespace))
        or any(labels.get(name, value) != value for name, value in leaf.source)
        or bool(root.gateways and not set(leaf.gateways) <= set(root.gateways))
    )


def _outside(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Say whether a condition on a string is no part of another one."""
    if root is None or leaf is None:
        return False
    if root.kind == "prefix" and leaf.kind in ("exact", "prefix"):
        return not leaf.value.startswith(root.value)
    return root.kind != "exact" or leaf != root


def _both(root: Match, leaf: Match) -> Match:
    return replace(
        leaf,
        uri=leaf.uri or root.uri,
        method=leaf.method or root.method,
        authority=leaf.authority or root.authority,
        scheme=leaf.scheme or root.scheme,
        headers=_joined(root.headers, leaf.headers),
        without_headers=_joined(root.without_headers, leaf.without_headers),
        query=_joined(root.query, leaf.query),
        gateways=leaf.gateways or root.gateways,
        source=tuple(sorted({**dict(root.source), **dict(leaf.source)}.items())),
        source_namespace=leaf.source_namespace or root.source_namespace,
        port=leaf.port or root.port,
    )


def _joined(root: Pairs, leaf: Pairs) -> Pairs:
    return tuple({**dict(root), **dict(leaf)}.items())
