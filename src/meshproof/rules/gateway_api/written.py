"""Reads HTTPRoutes and GRPCRoutes as they are written.

Source: Gateway API reference, HTTPRouteMatch, HTTPBackendRef and ParentReference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.errors import BadRules
from meshproof.base.names import CLUSTER_DOMAIN, MESH
from meshproof.documents.lookup import find_values, get_value, read_kind, read_spec, read_text
from meshproof.documents.manifest import Document, Value
from meshproof.rules.written import (
    FieldReader,
    ListRoutes,
    Reference,
    StringKind,
    WrittenActions,
    WrittenCondition,
    WrittenDestination,
    WrittenEntry,
    WrittenHeader,
    WrittenHeaderChanges,
    WrittenHeaders,
    WrittenLimits,
    WrittenMatch,
    WrittenMirror,
    WrittenPercentage,
    WrittenRedirect,
    WrittenRewrite,
    WrittenRoute,
    WrittenTable,
    read_cors,
    read_mapping,
    read_split,
)

#: Type of a match -> its kind.
_KINDS: dict[str, StringKind] = {
    "Exact": "exact",
    "PathPrefix": "path_prefix",
    "RegularExpression": "regex",
}
_PAIR_PARTS = {"headers": "header", "queryParams": "query"}
#: Keys of the filters that change headers: of the request, of the response.
_HEADER_FILTERS = ("requestHeaderModifier", "responseHeaderModifier")


def read_tables(
    documents: Iterable[Document], list_routes: ListRoutes
) -> Iterator[WrittenTable[WrittenMatch]]:
    """Yield the route table of each HTTPRoute and GRPCRoute."""
    for document in documents:
        spec = read_spec(document)
        hosts = [
            Reference(read_text(host), read_text(host), host)
            for host in find_values(spec, "hostnames")
        ]
        gateways: list[Reference] = []
        for parent in find_values(spec, "parentRefs"):
            _add_parent(parent, document.namespace, hosts, gateways)
        yield WrittenTable(
            document,
            "HTTPRoute" if document.kind == "HTTPRoute" else "GRPCRoute",
            tuple(hosts),
            tuple(gateways),
            tuple(list_routes(document)),
            is_ordered=False,
        )


def _add_parent(
    parent: Value, namespace: str, hosts: list[Reference], gateways: list[Reference]
) -> None:
    """Add the gateway of a parentRef, or the mesh and the host of a Service."""
    if not isinstance(parent.content, dict):
        return
    parent_namespace = read_text(get_value(parent, "namespace")) or namespace
    name = parent.content.get("name", parent)
    text, kind = read_text(name), read_text(get_value(parent, "kind"))
    if kind in ("", "Gateway"):
        full_name = f"{parent_namespace}/{text}"
        section, port = get_value(parent, "sectionName"), get_value(parent, "port")
        gateways.append(Reference(full_name, text, name, section, port))
    elif kind == "Service":
        gateways.append(Reference(MESH, text, name))
        hosts.append(Reference(f"{text}.{parent_namespace}.{CLUSTER_DOMAIN}", text, name))


def read_routes(document: Document, namespace: str) -> Iterator[WrittenRoute[WrittenMatch]]:
    """Yield the rules of a document as routes; `namespace` is that of the document."""
    for rule in find_values(read_spec(document), "rules"):
        if isinstance(rule.content, dict):
            yield _read_route(document, namespace, rule)


def _read_route(document: Document, namespace: str, rule: Value) -> WrittenRoute[WrittenMatch]:
    """Return one rule of a document as a route."""
    name, kind = read_text(get_value(rule, "name")), read_kind(document)
    return WrittenRoute(
        document,
        rule,
        f"'{name}'" if name else rule.path.removeprefix("spec."),
        tuple(
            read_match(match, kind == "GRPCRoute")
            for match in find_values(rule, "matches")
            if isinstance(match.content, dict)
        ),
        takes_all=True,
        actions=read_actions(kind, rule, namespace),
    )


def read_actions(kind: str, rule: Value, namespace: str) -> WrittenActions:
    """Return what a rule of a route of `kind` in `namespace` does."""
    fields = FieldReader()
    filters = fields.items(rule, "filters")
    contents = {
        key: [content for entry in filters if (content := fields.get(entry, key)) is not None]
        for key in ("requestRedirect", "urlRewrite", "requestMirror", "cors")
    }
    redirect, rewrite, cors = (
        next(iter(contents[key]), None) for key in ("requestRedirect", "urlRewrite", "cors")
    )
    return WrittenActions(
        split=read_split(
            fields,
            kind,
            fields.get(rule, "backendRefs"),
            rule.keys.get("backendRefs", rule.at),
            1,
            lambda entry: _read_entry(fields, entry, namespace),
        ),
        redirect=_read_redirect(fields, redirect),
        limits=_read_limits(fields, rule),
        headers=_read_headers(fields, rule),
        rewrite=_read_rewrite(fields, rewrite),
        mirrors=tuple(
            _read_mirror(fields, content, namespace) for content in contents["requestMirror"]
        ),
        cors=read_cors(fields, cors),
        problems=tuple(fields.problems),
    )


def _read_entry(fields: FieldReader, entry: Value, namespace: str) -> WrittenEntry:
    """Return one of the backendRefs."""
    return WrittenEntry(
        entry,
        fields.get(entry, "weight"),
        read_backend(entry, namespace),
        _read_headers(fields, entry),
    )


def _read_redirect(fields: FieldReader, redirect: Value | None) -> WrittenRedirect | None:
    """Return the content of a RequestRedirect."""
    if redirect is None:
        return None
    path = fields.get(redirect, "path")
    return WrittenRedirect(
        redirect,
        fields.get(path, "replaceFullPath"),
        fields.get(path, "replacePrefixMatch"),
        fields.get(redirect, "hostname"),
        fields.get(redirect, "scheme"),
        fields.get(redirect, "port"),
        fields.get(redirect, "statusCode"),
        path_change=path,
    )


def _read_rewrite(fields: FieldReader, rewrite: Value | None) -> WrittenRewrite | None:
    """Return the content of a URLRewrite."""
    if rewrite is None:
        return None
    path = fields.get(rewrite, "path")
    return WrittenRewrite(
        rewrite,
        prefix=fields.get(path, "replacePrefixMatch"),
        host=fields.get(rewrite, "hostname"),
        path=fields.get(path, "replaceFullPath"),
        path_change=path,
    )


def _read_mirror(fields: FieldReader, mirror: Value, namespace: str) -> WrittenMirror:
    """Return the content of a RequestMirror."""
    backend, percent = fields.need(mirror, "backendRef"), fields.get(mirror, "percent")
    return WrittenMirror(
        mirror,
        backend,
        read_backend(backend, namespace) if backend is not None else None,
        WrittenPercentage(percent, percent) if percent is not None else None,
        fields.get(mirror, "fraction"),
    )


def _read_headers(fields: FieldReader, parent: Value) -> WrittenHeaders:
    """Return the header changes in the filters of a rule or of a backend."""
    changes: dict[str, WrittenHeaderChanges] = {}
    for entry in fields.items(parent, "filters"):
        for key in _HEADER_FILTERS:
            if (modifier := fields.get(entry, key)) is not None:
                changes.setdefault(key, _read_header_changes(fields, modifier))
    return WrittenHeaders(*map(changes.get, _HEADER_FILTERS))


def _read_header_changes(fields: FieldReader, modifier: Value) -> WrittenHeaderChanges:
    """Return the content of a RequestHeaderModifier or ResponseHeaderModifier."""
    added = {
        key: tuple(
            WrittenHeader(read_text(name), value, name.at, entry.path, name)
            for entry in fields.items(modifier, key)
            if (name := fields.need(entry, "name")) is not None
            and (value := fields.need(entry, "value")) is not None
        )
        for key in ("set", "add")
    }
    return WrittenHeaderChanges(
        modifier, added["set"], added["add"], fields.items(modifier, "remove")
    )


def _read_limits(fields: FieldReader, rule: Value) -> WrittenLimits:
    """Return the timeouts of a rule and its retries."""
    timeouts, retry = fields.get(rule, "timeouts"), fields.get(rule, "retry")
    return WrittenLimits(
        fields.get(timeouts, "request"),
        fields.get(timeouts, "backendRequest"),
        fields.get(retry, "attempts"),
        fields.get(retry, "codes"),
        retry,
        timeouts,
    )


def read_backend(value: Value, namespace: str) -> WrittenDestination | None:
    """Return a backendRef of a route in `namespace`, None if it is no Service or has no name."""
    name = get_value(value, "name")
    text = read_text(name)
    if name is None or not text or read_text(get_value(value, "kind")) not in ("", "Service"):
        return None
    backend_namespace = read_text(get_value(value, "namespace")) or namespace
    return WrittenDestination(
        f"{text}.{backend_namespace}.{CLUSTER_DOMAIN}",
        text,
        name,
        backend_namespace,
        port=get_value(value, "port"),
    )


def read_match(value: Value, is_grpc: bool) -> WrittenMatch:
    """Return the conditions of one match. The method of a gRPC call is not among them."""
    problems: list[BadRules] = []
    conditions = [
        *_read_path(value),
        *_read_pairs(value, problems),
        *(() if is_grpc else _read_method(value)),
    ]
    is_complete = bool(read_mapping(value, problems)) and not is_grpc
    return WrittenMatch(value, tuple(conditions), is_complete, tuple(problems))


def _read_path(match: Value) -> Iterator[WrittenCondition]:
    """Yield the condition on the path, without a string if it names none."""
    path = get_value(match, "path")
    if path is not None:
        strings = _read_string(path, "PathPrefix")
        yield WrittenCondition("uri", path, path.at, strings=strings)


def _read_method(match: Value) -> Iterator[WrittenCondition]:
    """Yield the condition on the method."""
    method = get_value(match, "method")
    if method is not None:
        yield WrittenCondition("method", method, method.at, strings=(("exact", method),))


def _read_pairs(match: Value, problems: list[BadRules]) -> Iterator[WrittenCondition]:
    """Yield the conditions on headers and query parameters."""
    for key, part in _PAIR_PARTS.items():
        entries = get_value(match, key)
        if entries is not None and not isinstance(entries.content, list):
            problems.append(entries.error("a list"))
        for entry in find_values(match, key):
            name = get_value(entry, "name")
            yield WrittenCondition(
                part,
                entry,
                name.at if name is not None else entry.at,
                read_text(name),
                _read_string(entry, "Exact"),
            )


def _read_string(value: Value, default_type: str) -> tuple[tuple[StringKind, Value], ...]:
    """Return what a part is compared with, nothing if the type is unknown."""
    text, kind = get_value(value, "value"), find_kind(value, default_type)
    return ((kind, text),) if kind is not None and text is not None else ()


def find_kind(value: Value, default_type: str) -> StringKind | None:
    """Return how a value is compared, None for an unknown type."""
    return _KINDS.get(read_text(get_value(value, "type")) or default_type)
