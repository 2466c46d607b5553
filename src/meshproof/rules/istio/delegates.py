"""Reads delegation: a VirtualService without hosts supplies the routes for a route of another.

Source: Istio reference, VirtualService (Delegate). There is one level of delegation. Each match of
the delegate must be part of a match of the root's route. Istio drops other routes of the delegate;
here they raise BadRules. Like istiod, this compares exact values and prefixes, never regexes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from meshproof.base.errors import BadRules, suggest_nearest
from meshproof.documents.lookup import find_values
from meshproof.documents.manifest import Value
from meshproof.documents.problems import CheckedDocument
from meshproof.rules import judge_options
from meshproof.rules.actions import UNCHANGED
from meshproof.rules.common_fields import read_percentage
from meshproof.rules.istio import actions, written
from meshproof.rules.istio.policies import read_export
from meshproof.rules.model import Match, Mirror, Route, StringMatch
from meshproof.rules.written import PSEUDO_HEADERS, FieldReader

#: Field that a delegate's route inherits from the root's route -> its value when it is not set.
_INHERITED = {
    "rewrite": None,
    "headers": UNCHANGED,
    "fault": None,
    "timeout": None,
    "retries": None,
    "cors": None,
}
#: Fields that make sense only in a route that forwards requests.
_FORWARDING_FIELDS = ("rewrite", "fault", "mirrors")
Pairs = tuple[tuple[str, StringMatch], ...]


@dataclass(frozen=True)
class Delegates:
    """The VirtualServices without hosts, by namespace and name.

    `with_hosts` are the others. `read_delegate` reads the routes of a delegate.
    """

    delegates: dict[tuple[str, str], CheckedDocument]
    with_hosts: dict[tuple[str, str], CheckedDocument]
    read_delegate: Callable[[CheckedDocument], tuple[Route, ...]]

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[CheckedDocument],
        read_delegate: Callable[[CheckedDocument], tuple[Route, ...]],
    ) -> Delegates:
        """Sort VirtualServices into delegates and those with hosts."""
        delegates: dict[tuple[str, str], CheckedDocument] = {}
        with_hosts: dict[tuple[str, str], CheckedDocument] = {}
        for checked in documents:
            document = checked.document
            with checked.collect(document.root):
                hosts = document.spec.get("hosts")
                target_map = with_hosts if hosts is not None and hosts.items() else delegates
                target_map[document.namespace, document.name] = checked
        return cls(delegates, with_hosts, read_delegate)

    def list_roots(self) -> list[CheckedDocument]:
        """Return the VirtualServices that no other one delegates to, in order.

        They include those without hosts: their rules would apply nowhere, which is an error.
        """
        referenced = set()
        for checked in self.with_hosts.values():
            document = checked.document
            for delegate in find_values(document.spec, "http", "delegate"):
                with contextlib.suppress(BadRules):  # it is a problem of its route
                    referenced.add(_read_delegate_name(delegate, document.namespace))
        unreferenced = [checked for key, checked in self.delegates.items() if key not in referenced]
        return sorted(
            [*self.with_hosts.values(), *unreferenced], key=lambda checked: checked.document.at
        )

    def read_routes(self, root: Route, value: Value, namespace: str) -> Iterator[Route]:
        """Yield the routes of a delegate, which replace the route `root`.

        Raises BadRules for a delegate that does not exist or has hosts, and for a route that Istio
        would drop.
        """
        delegate = value.need("delegate")
        key = _read_delegate_name(delegate, namespace)
        name = "/".join(key)
        if key in self.with_hosts:
            raise delegate.at.error(
                f"{name} at {self.with_hosts[key].document.at} has hosts of its "
                "own, so that nothing can be delegated to it",
                path=delegate.path,
            )
        if key not in self.delegates:
            hint = suggest_nearest(
                name, ["/".join(delegate_key) for delegate_key in self.delegates]
            )
            raise delegate.at.missing(
                f"there is no VirtualService {name}{hint}", key[0], path=delegate.path
            )
        checked = self.delegates[key]
        document = checked.document
        _check_export(checked, namespace)
        gateways = document.spec.get("gateways")
        if gateways is not None:
            raise gateways.at.error(
                f"{name} is delegated to, and a delegate has no gateways of its own",
                path=gateways.path,
            )
        for route, delegate_route in zip(
            document.spec.need("http").items(), self.read_delegate(checked), strict=True
        ):
            if (nested := route.get("delegate")) is not None:
                raise nested.at.error(
                    f"{name} is delegated to itself, and Istio delegates once", path=nested.path
                )
            yield _merge_routes(root, value, delegate_route, route)


def _check_export(checked: CheckedDocument, namespace: str) -> None:
    """Raise BadRules for a delegate that is not exported to the namespace of its root."""
    document = checked.document
    export_to = read_export(document.spec, document.namespace)
    if export_to and namespace not in export_to:
        value = document.spec.need("exportTo")
        raise value.at.error(
            f"{document.namespace}/{document.name} is not exported to namespace "
            f"{namespace}, where a rule delegates to it: Istio leaves such a route out",
            path=value.path,
        )


def _read_delegate_name(delegate: Value, namespace: str) -> tuple[str, str]:
    """Return namespace and name of the VirtualService that a route delegates to."""
    namespace_value = delegate.get("namespace")
    return namespace_value.text() if namespace_value else namespace, delegate.need(
        "name"
    ).non_empty_text()


def _merge_routes(
    root: Route, root_value: Value, delegate_route: Route, delegate_value: Value
) -> Route:
    """Return a delegate's route with the matches and fields that it inherits from the root's."""
    inherited = {
        key: getattr(root, key)
        for key, nothing in _INHERITED.items()
        if getattr(delegate_route, key) == nothing and getattr(root, key) != nothing
    }
    if delegate_value.get("headers") is not None:  # even without a change in it
        inherited.pop("headers", None)
    host = actions.find_host_header(written.read_actions(root_value, "").headers)
    if host is not None and {"headers", "rewrite"} & delegate_value.mapping().keys():
        raise host.at.unsupported(
            "a Host header for a delegate that has headers or a rewrite of its own "
            "is not supported yet",
            path=host.path,
        )
    mirrors = _merge_mirrors(root, root_value, delegate_route, delegate_value)
    if mirrors != delegate_route.mirrors:
        inherited["mirrors"] = mirrors
    is_answer = delegate_route.redirect or delegate_route.direct_response
    for key in (key for key in _FORWARDING_FIELDS if key in inherited and is_answer):
        raise delegate_route.at.error(
            f"the route at {root.at} delegates to this one and has '{key}', which makes no sense "
            "where nothing is sent on"
        )
    merged = replace(
        delegate_route,
        matches=tuple(_merge_matches(root, delegate_route)),
        name="-".join(filter(None, (root.name, delegate_route.name))),
        options=judge_options.merge_options(delegate_route.options, root.options),
        problems=root.problems + delegate_route.problems,
        **inherited,
    )
    actions.check_header_changes(merged)
    return merged


def _merge_mirrors(
    root: Route, root_value: Value, delegate_route: Route, delegate_value: Value
) -> tuple[Mirror, ...]:
    """Return the mirrors of a merged route: `mirror`, its percentage and `mirrors` are inherited.

    Each of them alone, so that a root's percentage holds for the mirror of a delegate.
    """
    sources = ((delegate_route, delegate_value), (root, root_value))
    single, several = (
        next((route.mirrors for route, value in sources if value.get(key) is not None), ())
        for key in ("mirror", "mirrors")
    )
    percentage = written.read_mirror_percentage(FieldReader(), delegate_value, root_value)
    percent = read_percentage(percentage, 100.0)
    return (*(replace(mirror, percent=percent) for mirror in single[:1]), *several)


def _merge_matches(root: Route, delegate_route: Route) -> Iterator[Match]:
    """Yield each match of the delegate, combined with each match of the root that contains it."""
    if not (root.matches and delegate_route.matches):
        yield from root.matches or delegate_route.matches
        return
    for match in delegate_route.matches:
        compatible = [
            root_match for root_match in root.matches if not _conflicts(root_match, match)
        ]
        if not compatible:
            raise match.at.error(
                f"this match is not part of one of the route at {root.at}, which delegates to it: "
                "Istio leaves such a route out"
            )
        yield from (_combine_matches(root_match, match) for root_match in compatible)


def _conflicts(root_match: Match, delegate_match: Match) -> bool:
    """Say whether a delegate's match is not part of a root's match, by istiod's criteria."""
    pair_fields = ("headers", "without_headers", "query")
    labels = dict(root_match.source)
    return (
        (delegate_match.has_empty_prefix and root_match.uri is not None)
        or any(
            _string_conflicts(getattr(root_match, key), getattr(delegate_match, key))
            for key in PSEUDO_HEADERS
        )
        or any(
            _string_conflicts(dict(getattr(root_match, key)).get(name), value)
            for key in pair_fields
            for name, value in getattr(delegate_match, key)
        )
        or root_match.ignore_uri_case != delegate_match.ignore_uri_case
        or (
            None not in (root_match.port, delegate_match.port)
            and root_match.port != delegate_match.port
        )
        or (root_match.source_namespace not in ("", delegate_match.source_namespace))
        or any(labels.get(name, value) != value for name, value in delegate_match.source)
        or bool(
            root_match.gateways and not set(delegate_match.gateways) <= set(root_match.gateways)
        )
    )


def _string_conflicts(root_string: StringMatch | None, delegate_string: StringMatch | None) -> bool:
    """Say whether a delegate's string match is not part of the root's."""
    if root_string is None or delegate_string is None:
        return False
    if root_string.kind == "prefix" and delegate_string.kind in ("exact", "prefix"):
        return not delegate_string.value.startswith(root_string.value)
    return root_string.kind != "exact" or delegate_string != root_string


def _combine_matches(root_match: Match, delegate_match: Match) -> Match:
    """Return a match with the conditions of both."""
    return replace(
        delegate_match,
        uri=delegate_match.uri or root_match.uri,
        method=delegate_match.method or root_match.method,
        authority=delegate_match.authority or root_match.authority,
        scheme=delegate_match.scheme or root_match.scheme,
        headers=_combine_pairs(root_match.headers, delegate_match.headers),
        without_headers=_combine_pairs(root_match.without_headers, delegate_match.without_headers),
        query=_combine_pairs(root_match.query, delegate_match.query),
        gateways=delegate_match.gateways or root_match.gateways,
        source=tuple(sorted({**dict(root_match.source), **dict(delegate_match.source)}.items())),
        source_namespace=delegate_match.source_namespace or root_match.source_namespace,
        port=delegate_match.port or root_match.port,
        has_empty_prefix=delegate_match.has_empty_prefix
        or (root_match.has_empty_prefix and delegate_match.uri is None),
    )


def _combine_pairs(root_pairs: Pairs, delegate_pairs: Pairs) -> Pairs:
    """Return the conditions of both by name; those of the delegate win."""
    return tuple({**dict(root_pairs), **dict(delegate_pairs)}.items())
