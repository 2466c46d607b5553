"""Reads RouteRules as they are written. Those for one destination form a table, by precedence.

Source: routing/v1alpha1/route_rule.proto of Istio 0.1 to 0.7 (MatchCondition, IstioService).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshproof.base.errors import BadRules
from meshproof.base.names import CLUSTER_DOMAIN, qualify_host
from meshproof.documents.lookup import (
    get_value,
    read_labels,
    read_number,
    read_spec,
    read_text,
)
from meshproof.documents.manifest import Document, Value
from meshproof.rules.written import (
    PSEUDO_HEADERS,
    FieldReader,
    ListRoutes,
    Reference,
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
    WrittenRoute,
    WrittenTable,
    read_cors,
    read_faults,
    read_mapping,
    read_redirect,
    read_rewrite,
    read_split,
    read_strings,
)

_SOURCE_KEYS = ("name", "namespace", "service", "domain")


def read_tables(
    documents: Iterable[Document], list_routes: ListRoutes
) -> Iterator[WrittenTable[WrittenMatch]]:
    """Yield one route table for each destination."""
    routes_by_host: dict[str, list[WrittenRoute[WrittenMatch]]] = {}
    references: dict[str, Reference] = {}
    for document in documents:
        reference = refer_to_destination(document, document.namespace)
        if reference.full_name:
            references.setdefault(reference.full_name, reference)
            routes_by_host.setdefault(reference.full_name, []).extend(list_routes(document))
    for host, host_routes in routes_by_host.items():
        ordered = tuple(sorted(host_routes, key=lambda route: -route.precedence))
        yield WrittenTable(host_routes[0].document, "RouteRule", (references[host],), (), ordered)


def find_service_host(value: Value, namespace: str) -> str:
    """Return the full host that an IstioService names, empty if it names none."""
    service, name = read_text(get_value(value, "service")), read_text(get_value(value, "name"))
    if service:
        return qualify_host(service, namespace)
    service_namespace = read_text(get_value(value, "namespace")) or namespace
    domain = read_text(get_value(value, "domain")) or CLUSTER_DOMAIN
    return f"{name}.{service_namespace}.{domain}" if name else ""


def _refer_to_service(value: Value, namespace: str) -> Reference:
    """Return the service that an IstioService names; its full name is empty if it names none."""
    host = find_service_host(value, namespace)
    name_value = get_value(value, "service") or get_value(value, "name") or value
    return Reference(host, read_text(name_value) or host, name_value)


def refer_to_destination(document: Document, namespace: str) -> Reference:
    """Return the service that a RouteRule is for; its full name is empty if it names none."""
    destination = get_value(read_spec(document), "destination")
    if destination is None:
        return Reference("", "", document.root)
    return _refer_to_service(destination, namespace)


def read_routes(document: Document, namespace: str) -> Iterator[WrittenRoute[WrittenMatch]]:
    """Yield the route that a RouteRule is; `namespace` is that of the document."""
    spec = read_spec(document) or document.root
    match, destination = get_value(spec, "match"), get_value(spec, "destination")
    host = refer_to_destination(document, namespace).full_name
    own_service = Reference(host, host, destination if destination is not None else spec)
    name = read_text(get_value(get_value(document.root, "metadata"), "name"))
    yield WrittenRoute(
        document,
        spec,
        f"'{name}'",
        (read_match(match),) if match is not None else (),
        takes_all=match is None,
        actions=read_actions(spec, own_service, namespace),
        precedence=read_number(get_value(spec, "precedence")),
    )


def read_actions(spec: Value, own_service: Reference, namespace: str) -> WrittenActions:
    """Return what a rule for its `own_service` does."""
    fields = FieldReader()
    return WrittenActions(
        split=read_split(
            fields,
            "RouteRule",
            fields.get(spec, "route"),
            spec.keys.get("route", spec.at),
            0,
            lambda entry: _read_entry(fields, entry, own_service, namespace),
        ),
        redirect=read_redirect(fields, fields.get(spec, "redirect")),
        limits=_read_limits(fields, spec),
        faults=read_faults(fields, fields.get(spec, "httpFault")),
        headers=_read_headers_to_add(fields, fields.get(spec, "appendHeaders")),
        rewrite=read_rewrite(fields, fields.get(spec, "rewrite")),
        mirrors=tuple(_read_mirrors(fields.get(spec, "mirror"), namespace)),
        cors=read_cors(fields, fields.get(spec, "corsPolicy")),
        problems=tuple(fields.problems),
    )


def _read_limits(fields: FieldReader, spec: Value) -> WrittenLimits:
    """Return the timeout of a rule and its retries."""
    timeouts = fields.need(fields.get(spec, "httpReqTimeout"), "simpleTimeout")
    retries = fields.need(fields.get(spec, "httpReqRetries"), "simpleRetry")
    return WrittenLimits(
        fields.need(timeouts, "timeout"),
        fields.get(retries, "perTryTimeout"),
        fields.need(retries, "attempts"),
        retries=retries,
        timeouts=timeouts,
    )


def _read_headers_to_add(fields: FieldReader, headers: Value | None) -> WrittenHeaders:
    """Return the headers that each request gets."""
    if headers is None:
        return WrittenHeaders()
    added = tuple(
        WrittenHeader(name, value, headers.keys[name], headers.path)
        for name, value in fields.mapping(headers).items()
    )
    return WrittenHeaders(WrittenHeaderChanges(headers, (), added, ()))


def _read_entry(
    fields: FieldReader, entry: Value, own_service: Reference, namespace: str
) -> WrittenEntry:
    """Return one entry of `route`. Without a destination it is for the rule's own."""
    destination = fields.get(entry, "destination")
    service = _refer_to_service(destination, namespace) if destination is not None else own_service
    if not service.full_name:
        service = own_service
    labels = fields.get(entry, "labels")
    labels = fields.get(destination, "labels") if labels is None else labels
    return WrittenEntry(
        entry,
        fields.get(entry, "weight"),
        WrittenDestination(
            service.full_name,
            service.source_text,
            service.named_by,
            namespace,
            labels=read_labels(labels),
            labels_value=labels,
            value=destination,
        ),
    )


def _read_mirrors(mirror: Value | None, namespace: str) -> Iterator[WrittenMirror]:
    """Yield the mirror of a rule."""
    if mirror is not None:
        host, labels = find_service_host(mirror, namespace), get_value(mirror, "labels")
        target = WrittenDestination(
            host,
            "",
            mirror,
            namespace,
            labels=read_labels(labels),
            labels_value=labels,
            value=mirror,
        )
        yield WrittenMirror(mirror, mirror, target, is_only=True)


def read_match(value: Value) -> WrittenMatch:
    """Return the conditions of a RouteRule's match."""
    problems: list[BadRules] = []
    content = read_mapping(value, problems)
    conditions = [*_read_headers(value, problems), *_read_source(value, problems)]
    is_complete = bool(conditions) and set(content) <= {"request", "source"}
    return WrittenMatch(value, tuple(conditions), is_complete, tuple(problems))


def _read_headers(match: Value, problems: list[BadRules]) -> Iterator[WrittenCondition]:
    """Yield the conditions on parts of the request and on headers. A bare text is an exact one."""
    request = get_value(match, "request")
    headers = get_value(request, "headers")
    if request is None or headers is None:
        return
    for name, value in read_mapping(headers, problems).items():
        part, at = name.lower(), headers.keys[name]
        strings = read_strings(value) if isinstance(value.content, dict) else (("exact", value),)
        if part in PSEUDO_HEADERS:
            yield WrittenCondition(part, value, at, strings=strings)
        else:
            yield WrittenCondition("header", value, at, name, strings)


def _read_source(match: Value, problems: list[BadRules]) -> Iterator[WrittenCondition]:
    """Yield the conditions on the caller: its service, and the labels of its pods."""
    source = get_value(match, "source")
    if source is None:
        return
    read_mapping(source, problems)
    for key in _SOURCE_KEYS:
        value = get_value(source, key)
        if value is not None:
            yield WrittenCondition("source", value, value.at, key, (("exact", value),))
    labels = get_value(source, "labels")
    for name, value in read_mapping(labels, problems).items() if labels is not None else ():
        yield WrittenCondition("source label", value, value.at, name, (("exact", value),))
