"""Converts the match of a RouteRule to the match of a VirtualService.

A condition that cannot be converted is noted and makes the match incomplete. Its route is then left
out: without that condition it would take requests that the rule did not take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshproof.base.names import Labels, sort_labels
from meshproof.convert.nodes import Node, copy_value, make_scalar
from meshproof.convert.notes import Notes
from meshproof.convert.services import read_service
from meshproof.documents.manifest import Document, Value
from meshproof.lint.model import cookies, regexes
from meshproof.lint.model.string_matches import StringMatch
from meshproof.rules.legacy.route_rule import index_strings, read_string
from meshproof.rules.legacy.written import read_match
from meshproof.rules.written import PSEUDO_HEADERS, WrittenMatch


@dataclass
class Conditions:
    """A match that is being built; `is_complete` while no condition is missing."""

    node: Node
    route: Node
    notes: Notes
    document: Document
    is_complete: bool = True
    _headers: Node = field(default_factory=lambda: Node({}))

    def note_unconverted(self, value: Value, reason: str) -> None:
        """Note that a condition is not converted."""
        self.notes.add_unconverted(value, reason, self.route)
        self.is_complete = False

    def add(self, name: str, value: Value) -> None:
        """Add the condition on a header or a part of the request."""
        condition = self._convert_string(name, value)
        if condition is None:
            return
        if name in PSEUDO_HEADERS:
            self.node.put(name, condition)
        else:
            self._headers.put(name, condition)
            self.node.put("headers", self._headers)

    def _convert_string(self, name: str, value: Value) -> Node | None:
        """Return a condition on a string (a bare text means exact), None if impossible."""
        kind = read_string(value).kind
        is_plain = isinstance(value.content, str)
        text = value if is_plain else value.need(kind)
        node = Node({"exact": copy_value(value)}) if is_plain else copy_value(value)
        text.non_empty_text()
        if kind == "regex" and (fault := _explain_regex_fault(text.text())):
            self.note_unconverted(text, fault)
            return None
        self._note_missed_cookie(name, kind, text)
        return node

    def _note_missed_cookie(self, name: str, kind: str, text: Value) -> None:
        """Note a cookie match that misses the cookie among others; it is converted as it is."""
        if name != "cookie":
            return
        missed_cookie = cookies.find_missed_header(
            StringMatch("header cookie", kind, text.text(), text.at)
        )
        if missed_cookie is not None:
            header, cookie = missed_cookie
            self.notes.add_hint(
                text.at,
                f"{text.path} says the same as before and so does not match 'Cookie: {header}'; "
                f"it would as {cookies.build_cookie_regex(cookie, kind)}",
            )


def _explain_regex_fault(pattern: str) -> str:
    """Return what is wrong with a regex for RE2, empty for a valid one."""
    error = regexes.find_error(pattern)
    if not error:
        return ""
    missing_feature, replacement = regexes.suggest_replacement(pattern)
    return (
        f"RE2 has no {missing_feature}; instead: {replacement}"
        if missing_feature
        else f"RE2 says: {error}"
    )


def convert_match(
    match_value: Value,
    document: Document,
    selectors: Mapping[str, Labels],
    notes: Notes,
    route: Node,
) -> Conditions:
    """Return the converted match; conditions that cannot be converted are noted above `route`.

    Raises BadRules for invalid conditions, or two on one header.
    """
    conditions = Conditions(Node({}, (match_value,)), route, notes, document)
    if not match_value.mapping():
        raise match_value.error("conditions (a match may be absent, but not empty)")
    for key in ("tcp", "udp"):
        if (value := match_value.get(key)) is not None:
            conditions.note_unconverted(value, "it is about TCP, which an HTTP route cannot match")
    match = read_match(match_value)
    match.check_form()
    for name, condition in index_strings(match).items():
        conditions.add(name, condition.value)
    source = match_value.get("source")
    if source is not None:
        _convert_source(source, match, selectors, conditions)
    return conditions


def _convert_source(
    source: Value, match: WrittenMatch, selectors: Mapping[str, Labels], conditions: Conditions
) -> None:
    """Convert the calling workload: its labels and namespace.

    A caller given by its service has the labels that the Service selects, if that is known.
    """
    labels_value, namespace_value = source.get("labels"), source.get("namespace")
    source_labels = {label.name: copy_value(label.value) for label in match.list("source label")}
    namespace: Node | None = copy_value(namespace_value) if namespace_value is not None else None
    for key in ("name", "service"):
        value = source.get(key)
        if value is None:
            continue
        service = read_service(source, conditions.document.namespace)
        selector = selectors.get(service.host, ())
        if not selector:
            conditions.note_unconverted(
                value,
                f"a VirtualService knows callers by labels; give the Service {service.name} too, "
                "whose selector says which",
            )
            return
        _check_selector_agrees(selector, labels_value, conditions, value)
        source_labels = {
            **{name: make_scalar(label_value, value) for name, label_value in selector},
            **source_labels,
        }
        namespace = make_scalar(
            service.namespace, *([namespace_value] if namespace_value is not None else [])
        )
    if source_labels:
        conditions.node.put("sourceLabels", Node(dict(source_labels), (labels_value or source,)))
    conditions.node.put("sourceNamespace", namespace)


def _check_selector_agrees(
    selector: Labels, labels_value: Value | None, conditions: Conditions, value: Value
) -> None:
    """Note labels of the caller that differ from what its Service selects."""
    caller_labels = (
        dict(sort_labels(labels_value.text_mapping())) if labels_value is not None else {}
    )
    for name, label_value in selector:
        if caller_labels.get(name, label_value) != label_value:
            conditions.note_unconverted(
                value, f"its Service selects {name}={label_value}, the labels say otherwise"
            )
