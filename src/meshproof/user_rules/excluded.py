"""Excludes objects that meshproof cannot check, by name, so that it can check the others.

A namespace or a folder holds whatever its users need: a Gateway with certificates, a route for TCP,
a Gateway of another team's namespace. Each is reported as not supported, together with all objects
that depend on it. An object that is wrong is reported as failed, and hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Self

from meshproof.base.errors import (
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_PASSED,
    Absent,
    BadRules,
    Missing,
    Unsupported,
)
from meshproof.base.names import MESH, qualify_gateway, qualify_host
from meshproof.documents.contents import Contents, name_object
from meshproof.documents.lookup import find_values, read_text
from meshproof.documents.manifest import At, Document
from meshproof.documents.value import Value
from meshproof.inventory.services import read_services
from meshproof.inventory.workloads import WORKLOAD_KINDS, read_workloads
from meshproof.rules.gateway_api.listeners import intersect_hosts
from meshproof.run.cause import Cause
from meshproof.user_rules.gateway_parts import reduce_gateway
from meshproof.user_rules.protocol_parts import keep_http_routes

_ISTIO, _GATEWAY_API = "networking.istio.io", "gateway.networking.k8s.io"
_ROUTE_KINDS = ("GRPCRoute", "HTTPRoute", "Ingress", "RouteRule", "VirtualService")
#: Kinds that others may be wrong for: what is wrong with them is looked at first.
_EXPLAINING_KINDS = ("DestinationRule", "Gateway", "ReferenceGrant", "Service", "ServiceEntry")
#: Kinds of what rules stand on.
_WORLD_KINDS = ("Service", "ServiceEntry", *WORKLOAD_KINDS)
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Excluded:
    """An object, or a part of one, that is not checked: its place, its name, and why.

    `is_wrong` says that the object is an error, not only beyond meshproof. `cause` is the object
    that it depends on. `is_allowed` says that the user has named it as known. `is_lacking` says
    that something is not in what is read. `lint_cause` is the error of lint that explains it.
    `may_hold_workloads` says that Services or workloads may be unknown because of it. `path` is
    that of the value that it is excluded for, empty if that is the whole object.
    """

    at: At
    name: str
    because: str
    is_wrong: bool = False
    cause: Excluded | None = None
    is_allowed: bool = False
    is_lacking: bool = False
    lint_cause: Cause | None = None
    may_hold_workloads: bool = False
    path: str = ""

    @classmethod
    def of_document(
        cls, document: Document, because: str, at: At | None = None, **details: Any
    ) -> Self:
        """Return the entry of an object."""
        holds_workloads = document.kind in _WORLD_KINDS
        name, place = name_object(document), at or document.at
        return cls(place, name, because, may_hold_workloads=holds_workloads, **details)

    @property
    def title(self) -> str:
        """The promise that is not proven."""
        return f"{self.name} does as it says"

    @property
    def is_failed(self) -> bool:
        """Whether it is a failure of the run."""
        return self.is_wrong or self.lint_cause is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a run that has it."""
        if self.is_failed:
            return EXIT_FAILED
        return EXIT_PASSED if self.is_allowed else EXIT_INCONCLUSIVE

    @property
    def field(self) -> str:
        """The field that is not supported, without indexes; empty if it is the whole object."""
        return _INDEX.sub("", self.path)

    def is_named_by(self, pattern: str) -> bool:
        """Say whether `KIND/NAME[:FIELD]` means it; the name may have its namespace before it."""
        name, _, field = pattern.partition(":")
        kind, _, full_name = self.name.partition(" ")
        names = (f"{kind}/{full_name}", f"{kind}/{full_name.rpartition('/')[2]}")
        return any(fnmatchcase(own_name, name) for own_name in names) and field in ("", self.field)

    def __str__(self) -> str:
        code = f" ({self.lint_cause.code})" if self.lint_cause else ""
        return f"{self.at}: {self.name} is not checked: {self.because}{code}"


def allow_named(
    excluded: Sequence[Excluded], patterns: Iterable[str]
) -> tuple[tuple[Excluded, ...], list[str]]:
    """Return the same with those marked that a pattern names, or that depend on such a one.

    Also return the patterns that name nothing.
    """
    pattern_list = list(patterns)
    unused = [
        pattern
        for pattern in pattern_list
        if not any(entry.is_named_by(pattern) for entry in excluded)
    ]

    def is_allowed(entry: Excluded) -> bool:
        if any(entry.is_named_by(pattern) for pattern in pattern_list):
            return True
        return entry.cause is not None and is_allowed(entry.cause)

    return tuple(replace(entry, is_allowed=is_allowed(entry)) for entry in excluded), unused


class RuleObjects:
    """The objects of a user's rules, without the excluded ones."""

    def __init__(
        self, documents: Sequence[Document], live_namespaces: Collection[str] = ()
    ) -> None:
        """`live_namespaces` are those that were read; Gateways of others are excluded at once."""
        self.documents = list(documents)
        self.excluded: list[Excluded] = []
        self._namespaces = frozenset(live_namespaces)
        if live_namespaces:
            self._remove_gateways(
                lambda name: name.partition("/")[0] not in self._namespaces,
                "namespace {} is not among those that are read",
            )

    def remove_unknown_gateways(self, contents: Contents) -> None:
        """Remove Gateways that the files do not have from the rules of the files."""
        namesakes = [variant for variants in contents.variants for variant in variants]
        known = {
            f"{document.namespace}/{document.name}"
            for document in (*self.documents, *namesakes)
            if (document.kind, document.group) == ("Gateway", _ISTIO)
        }
        self._remove_gateways(
            lambda name: name not in known, "there is no such Gateway in the files"
        )

    @property
    def has_routes(self) -> bool:
        """True while an object is left that routes requests."""
        return any(document.kind in _ROUTE_KINDS for document in self.documents)

    def list_unread(self) -> list[str]:
        """Return the names of what is not checked and may hold Services and workloads."""
        return [entry.name for entry in self.excluded if entry.may_hold_workloads]

    def exclude_contents(self, contents: Contents) -> None:
        """Exclude what was read and cannot be checked: unserved objects, variants, wrong ones."""
        for unserved in contents.unserved:
            document = unserved.document
            holds_workloads = document is None or document.kind in _WORLD_KINDS
            self.excluded.append(
                Excluded(
                    unserved.at,
                    unserved.name,
                    unserved.reason,
                    may_hold_workloads=holds_workloads,
                )
            )
        for problem in contents.problems:
            at = At(problem.file, problem.line, problem.column)
            self.excluded.append(
                Excluded(
                    at, f"document {at}", problem.reason, is_wrong=True, may_hold_workloads=True
                )
            )
        for variants in contents.variants:
            places = ", ".join(variant.at.with_origin for variant in variants)
            reason = (
                f"{len(variants)} objects have this name ({places}), and none is guessed; "
                "--each-variant checks each in turn, --exclude leaves others out"
            )
            entry = Excluded.of_document(variants[0], reason)
            self.excluded.append(entry)
            for variant in variants:
                self._exclude_dependants(variant, entry)

    def exclude_causes_of(self, errors: Sequence[BadRules]) -> bool:
        """Exclude the objects that errors are about, and return whether that was possible.

        What other objects depend on comes first: they may be right once it is gone.
        """
        located = [(self._locate(error), error) for error in errors]
        explaining = [
            (document, error)
            for document, error in located
            if document is not None and document.kind in _EXPLAINING_KINDS
        ]
        reasons: dict[Document, list[BadRules]] = {}
        for document, error in explaining or located:
            if document is not None:
                reasons.setdefault(document, []).append(error)
        for document, its_errors in reasons.items():
            if document in self.documents and not self._reduce(document, its_errors):
                self._exclude_for(document, its_errors)
        return bool(reasons)

    def _locate(self, error: BadRules) -> Document | None:
        """Return the object that an error is about: the last that begins above its line."""
        candidates = [
            document
            for document in self.documents
            if (document.at.file, document.at.origin) == (error.file, error.origin)
            and document.at.line <= max(error.line, 1)
        ]
        return max(candidates, key=lambda document: document.at.line, default=None)

    def _exclude_for(self, document: Document, errors: Sequence[BadRules]) -> None:
        """Exclude an object for its errors; it is wrong if one of them says so.

        That something is missing may follow from what is not supported: a rule for TCP has no
        `http`.
        """
        beyond = [error for error in errors if self._is_beyond(error)]
        relevant = [
            error
            for error in errors
            if error in beyond or not (beyond and isinstance(error, Absent))
        ]
        is_wrong = len(relevant) > len(beyond)
        error = next(error for error in relevant if self._is_beyond(error) != is_wrong)
        reason = "; ".join(dict.fromkeys(error.reason for error in relevant))
        is_lacking = isinstance(error, Missing) and not is_wrong
        if is_lacking:
            reason = f"{reason} (in what is read)"
        at = At(error.file, error.line, error.column)
        entry = Excluded.of_document(
            document, reason, at, is_wrong=is_wrong, is_lacking=is_lacking, path=relevant[0].path
        )
        self._exclude(document, entry)

    def _is_beyond(self, error: BadRules) -> bool:
        """Say whether an object may be right, and only cannot be checked."""
        is_outside = isinstance(error, Missing) and error.namespace not in self._namespaces
        return is_outside or isinstance(error, Unsupported)

    def _exclude(self, document: Document, entry: Excluded) -> None:
        """Exclude an object, and each object that depends on it."""
        self.documents.remove(document)
        self.excluded.append(entry)
        self._exclude_dependants(document, entry)

    def _exclude_dependants(self, document: Document, entry: Excluded) -> None:
        """Exclude each object that depends on one that is not checked."""
        if (document.kind, document.group) == ("Gateway", _ISTIO):
            gateway = f"{document.namespace}/{document.name}"
            self._remove_gateways(
                lambda name: name == gateway, f"{name_object(document)} is not checked", entry
            )
        orphans = self._list_orphans(document)
        for dependant in [
            dependant
            for dependant in self.documents
            if dependant in orphans or _depends_on(dependant, document)
        ]:
            if dependant in self.documents:  # it may have been excluded with another dependant
                reason = f"it does not hold without {name_object(document)}, which is not checked"
                self._exclude(dependant, Excluded.of_document(dependant, reason, cause=entry))

    def _list_orphans(self, excluded: Document) -> list[Document]:
        """Return the parts of a rule that only an excluded rule delegates to."""
        delegates = _read_delegates(excluded).difference(*map(_read_delegates, self.documents))
        return [
            document
            for document in self.documents
            if (document.kind, document.group) == ("VirtualService", _ISTIO)
            and (document.namespace, document.name) in delegates
            and not find_values(document.root, "spec", "hosts")
        ]

    def _remove_gateways(
        self,
        is_excluded: Callable[[str], bool],
        because: str,
        cause: Excluded | None = None,
        documents: Sequence[Document] = (),
    ) -> None:
        """Remove Gateways from VirtualServices: the routes of their sidecars are still checked.

        `because` may have a place `{}` for the namespace of the Gateway. Without `documents` it is
        done in all of them.
        """
        for document in documents or self.documents[:]:
            if (document.kind, document.group) != ("VirtualService", _ISTIO):
                continue
            try:
                gateways = _read_gateways(document.spec, document.namespace)
                remaining = _remove_gateways_from(document, is_excluded)
            except BadRules:
                continue  # it has an error of its own, which is told
            removed = [name for name in gateways if name != MESH and is_excluded(name)]
            for name in removed:
                reason = because.format(name.partition("/")[0])
                part = f"{name_object(document)} at Gateway {name}"
                self.excluded.append(Excluded(document.at, part, reason, cause=cause))
            if remaining is None:
                self.documents.remove(document)
                if not removed:
                    reason = "each of its routes is for a Gateway that is not checked"
                    self.excluded.append(Excluded.of_document(document, reason, cause=cause))
            elif remaining is not document:
                self._replace(document, remaining)

    def _reduce(self, document: Document, errors: Sequence[BadRules]) -> bool:
        """Keep an object without the parts that errors are about; say whether that is enough.

        These are servers of a Gateway, with the routes that only they have, and the routes of a
        VirtualService that are for other protocols than HTTP.
        """
        if document.kind == "VirtualService":
            http_part = keep_http_routes(document, errors)
            if http_part is None:
                return False
            for error in errors:  # an entry for each field, that one can be allowed without others
                self._exclude_part(document, [error])
            self._replace(document, http_part)
            return True
        reduced = reduce_gateway(document, errors) if document.kind == "Gateway" else None
        if reduced is None:
            return False
        entry = self._exclude_part(document, errors)
        self._replace(document, reduced.document)
        because = f"its hosts are those of a server of {entry.name} that is not checked"
        for route in filter(reduced.leaves_out, self.documents[:]):
            if route.kind == "VirtualService":
                gateway = f"{document.namespace}/{document.name}"
                self._remove_gateways(gateway.__eq__, because, entry, [route])
            else:
                self._exclude(route, Excluded.of_document(route, because, cause=entry))
        return True

    def _exclude_part(self, document: Document, errors: Sequence[BadRules]) -> Excluded:
        """Exclude the part of an object that errors are about."""
        at = At(errors[0].file, errors[0].line, errors[0].column)
        reason = "; ".join(dict.fromkeys(error.reason for error in errors))
        entry = Excluded.of_document(document, reason, at, path=errors[0].path)
        self.excluded.append(entry)
        return entry

    def _replace(self, document: Document, remaining: Document) -> None:
        self.documents[self.documents.index(document)] = remaining


def _read_gateways(parent: Value, namespace: str) -> list[str]:
    """Return the Gateways that a VirtualService or a match names, as `namespace/name`."""
    gateways = find_values(parent, "gateways")
    return [qualify_gateway(read_text(gateway), namespace) for gateway in gateways]


def _remove_gateways_from(
    document: Document, is_excluded: Callable[[str], bool]
) -> Document | None:
    """Return a VirtualService without some Gateways and their routes; None if no route is left.

    A delegate names Gateways in its matches only.
    """
    spec = _filter_gateways(document.spec, document.namespace, is_excluded)
    if spec is None:
        return None
    routes = spec.entries("http")
    remaining = [
        remaining_route
        for route in routes
        if (remaining_route := _remove_gateways_from_route(route, document.namespace, is_excluded))
        is not None
    ]
    if routes and not remaining:
        return None
    if remaining != routes:
        spec = _replace_entries(spec, "http", remaining)
    return (
        document if spec is document.spec else replace(document, root=_replace_spec(document, spec))
    )


def _remove_gateways_from_route(
    route: Value, namespace: str, is_excluded: Callable[[str], bool]
) -> Value | None:
    """Return a route without the matches for excluded Gateways; None if no match is left."""
    matches = route.entries("match")
    remaining = [
        remaining_match
        for match in matches
        if (remaining_match := _filter_gateways(match, namespace, is_excluded)) is not None
    ]
    if remaining == matches:
        return route
    return _replace_entries(route, "match", remaining) if remaining else None


def _filter_gateways(
    holder: Value, namespace: str, is_excluded: Callable[[str], bool]
) -> Value | None:
    """Return a value without its excluded `gateways`; None if none of them is left."""
    gateways = holder.entries("gateways")
    remaining = [
        gateway for gateway in gateways if not _is_excluded_gateway(gateway, namespace, is_excluded)
    ]
    if len(remaining) == len(gateways):
        return holder
    return _replace_entries(holder, "gateways", remaining) if remaining else None


def _is_excluded_gateway(
    gateway: Value, namespace: str, is_excluded: Callable[[str], bool]
) -> bool:
    """Say whether a Gateway is excluded; sidecars (`mesh`) never are."""
    name = qualify_gateway(gateway.text(), namespace)
    return name != MESH and is_excluded(name)


def _replace_entries(holder: Value, key: str, entries: list[Value]) -> Value:
    """Return a copy of a mapping with other entries in the list at `key`."""
    entry = replace(holder.need(key), content=entries)
    return replace(holder, content={**holder.mapping(), key: entry})


def _replace_spec(document: Document, spec: Value) -> Value:
    """Return a copy of an object's root with another spec."""
    return replace(document.root, content={**document.root.mapping(), "spec": spec})


def _depends_on(document: Document, excluded: Document) -> bool:
    """Say whether an object does not hold, or not alone, without an excluded one."""
    if "spec" not in document.root.mapping():
        return False
    if excluded.kind in ("Service", "ServiceEntry"):
        return document.kind in _ROUTE_KINDS and bool(
            _read_own_hosts(excluded) & _read_named_hosts(document)
        )
    if excluded.kind in WORKLOAD_KINDS:
        is_near = document.kind == "Service" and document.namespace == excluded.namespace
        return is_near and _may_select(document, excluded)
    if document.group != excluded.group:
        return False
    if excluded.group == _GATEWAY_API:
        return _has_parent_of(document, excluded)
    if document.kind != "VirtualService":
        return False
    mappings = list(_iter_mappings(document.spec.to_python()))
    if excluded.kind == "DestinationRule":
        rule_host = qualify_host(_read_host(excluded), excluded.namespace)
        return any(
            "subset" in mapping
            and qualify_host(str(mapping.get("host")), document.namespace) == rule_host
            for mapping in mappings
        )
    if excluded.kind != "VirtualService":
        return False
    if not find_values(excluded.root, "spec", "hosts"):
        return (excluded.namespace, excluded.name) in _read_delegates(document)
    return bool(
        _read_hosts(document) & _read_hosts(excluded)
        and _read_attached_gateways(document) & _read_attached_gateways(excluded)
    )


def _read_delegates(rule: Document) -> set[tuple[str, str]]:
    """Return namespace and name of the parts that a VirtualService delegates to."""
    if (rule.kind, rule.group) != ("VirtualService", _ISTIO):
        return set()
    return {
        (read_text(delegate.get("namespace")) or rule.namespace, read_text(delegate.get("name")))
        for delegate in find_values(rule.root, "spec", "http", "delegate")
        if isinstance(delegate.content, dict)
    }


def _may_select(service_document: Document, workload_document: Document) -> bool:
    """Say whether pods of an excluded workload may answer for a Service, as far as it is read."""
    (service,) = read_services([service_document])
    (workload,) = read_workloads([workload_document])
    if service.problems:
        return True
    is_selected = bool(workload.problems) or workload.is_selected_by(service.selector)
    return bool(service.selector) and is_selected


def _identify(gateway: Document) -> tuple[str, str, str]:
    """Return kind, namespace and name of an object."""
    return gateway.kind, gateway.namespace, gateway.name


def _read_parents(http_route: Document) -> set[tuple[str, str, str]]:
    """Return kind, namespace and name of what a route of Gateway API attaches to."""
    return {
        (
            read_text(parent.mapping().get("kind")) or "Gateway",
            read_text(parent.mapping().get("namespace")) or http_route.namespace,
            read_text(parent.mapping().get("name")),
        )
        for parent in find_values(http_route.root, "spec", "parentRefs")
        if isinstance(parent.content, dict)
    }


def _has_parent_of(document: Document, excluded: Document) -> bool:
    """Say whether a route attaches to a Gateway, or to what another route attaches to."""
    shared = _read_parents(document) & (_read_parents(excluded) or {_identify(excluded)})
    if any(kind == "Service" for kind, _, _ in shared):
        return True  # hostnames are not looked at there
    return bool(shared) and _may_share_hostname(document, excluded)


def _may_share_hostname(document: Document, other: Document) -> bool:
    """Say whether a request may be for both of two routes, by their hostnames."""
    own_hosts, other_hosts = (
        [read_text(host) for host in find_values(route.root, "spec", "hostnames")] or ["*"]
        for route in (document, other)
    )
    return any(
        intersect_hosts(host, other_host) for host in own_hosts for other_host in other_hosts
    )


def _read_own_hosts(document: Document) -> set[str]:
    """Return the full hosts of a Service or a ServiceEntry."""
    if document.kind == "Service":
        return {qualify_host(document.name, document.namespace)}
    return {read_text(host) for host in find_values(document.root, "spec", "hosts")}


def _read_named_hosts(rule: Document) -> set[str]:
    """Return the full hosts that a rule is for or sends to."""
    hosts = _read_hosts(rule)
    for mapping in _iter_mappings(rule.spec.to_python()):
        for key in ("host", "name", "serviceName"):
            if isinstance(name := mapping.get(key), str):
                namespace = mapping.get("namespace")
                namespace = namespace if isinstance(namespace, str) else rule.namespace
                hosts.add(qualify_host(name, namespace))
    return hosts


def _read_host(rule: Document) -> str:
    """Return the host of a DestinationRule as it is written."""
    return read_text(next(iter(find_values(rule.root, "spec", "host")), None))


def _read_hosts(rule: Document) -> set[str]:
    """Return the full hosts of a VirtualService."""
    return {
        qualify_host(read_text(host), rule.namespace)
        for host in find_values(rule.root, "spec", "hosts")
    }


def _read_attached_gateways(rule: Document) -> set[str]:
    """Return the Gateways of a VirtualService, or `mesh` if it names none."""
    gateways = find_values(rule.root, "spec", "gateways")
    return {qualify_gateway(read_text(name), rule.namespace) for name in gateways} or {MESH}


def _iter_mappings(content: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in plain content, at any depth."""
    if isinstance(content, dict):
        yield content
        content = list(content.values())
    for value in content if isinstance(content, list) else ():
        yield from _iter_mappings(value)
