"""The match of a RouteRule -> the match of a VirtualService.

A condition that cannot be said is named, and the match is then not whole: its route is left out,
since without that condition it would take requests that the rule did not take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshproof.base.names import Labels, labels
from meshproof.convert.nodes import Node, copied, scalar
from meshproof.convert.notes import Notes
from meshproof.convert.services import named
from meshproof.documents.manifest import Document, Value
from meshproof.lint.model import cookies, regexes
from meshproof.lint.model.string_matches import StringMatch

#: Keys of request.headers that are not headers but parts of the request.
PARTS = ("uri", "scheme", "method", "authority")
_KINDS = ("exact", "prefix", "regex")


@dataclass
class Conditions:
    """A match in the making; `whole` while every condition of the source is in it."""

    node: Node
    route: Node
    notes: Notes
    document: Document
    whole: bool = True
    _headers: Node = field(default_factory=lambda: Node({}))

    def lose(self, value: Value, why: str) -> None:
        """Note that a condition is not converted."""
        self.notes.lost(value, why, self.route)
        self.whole = False

    def add(self, name: str, value: Value) -> None:
        """Add the condition on a header or a part of the request."""
        found = self._string(name, value)
        if found is None:
            return
        if name in PARTS:
            self.node.put(name, found)
        else:
            self._headers.put(name, found)
            self.node.put("headers", self._headers)

    def _string(self, name: str, value: Value) -> Node | None:
        """Return a condition on a string (a bare text means exact), None for one that is lost."""
        if isinstance(value.content, str):
            kind, text = "exact", value
            node = Node({"exact": copied(value)})
        else:
            value.allow(*_KINDS)
            kinds = [key for key in _KINDS if value.get(key) is not None]
            if len(kinds) != 1:
                raise value.error("one of exact, prefix, regex")
            kind = kinds[0]
            text, node = value.need(kind), copied(value)
        text.filled()
        if kind == "regex" and (said := _rejected(text.text())):
            self.lose(text, said)
            return None
        self._advise(name, kind, text)
        return node

    def _advise(self, name: str, kind: str, text: Value) -> None:
        """Name a cookie match that misses the cookie among others; it is converted as it is."""
        if name != "cookie":
            return
        missed = cookies.find_missed_header(StringMatch(self.document, "header cookie", kind, text.text(), text.at))
        if missed is not None:
            header, wanted = missed
            self.notes.known(
                text.at,
                f"{text.path} says the same as before and so does not match 'Cookie: {header}'; "
                f"it would as {cookies.build_cookie_regex(wanted, kind)}",
            )


def _rejected(pattern: str) -> str:
    """Return what is wrong with a regex that RE2 does not take, empty for a good one."""
    said = regexes.find_error(pattern)
    if not said:
        return ""
    lacking, instead = regexes.suggest_replacement(pattern)
    return f"RE2 has no {lacking}; instead: {instead}" if lacking else f"RE2 says: {said}"


def converted(
    found: Value,
    document: Document,
    selectors: Mapping[str, Labels],
    notes: Notes,
    route: Node,
) -> Conditions:
    """Return the match that says the same; what it cannot say is noted above `route`.

    Raises BadRules for conditions that are none, or two on one header.
    """
    made = Conditions(Node({}, (found,)), route, notes, document)
    if not found.mapping():
        raise found.error("conditions (a match may be absent, but not empty)")
    for key in ("tcp", "udp"):
        if (value := found.get(key)) is not None:
            made.lose(value, "it is about TCP, which an HTTP route cannot match")
    _request(found, made)
    source = found.get("source")
    if source is not None:
        _source(source, selectors, made)
    return made


def _request(found: Value, made: Conditions) -> None:
    request = found.get("request")
    headers = request.get("headers") if request is not None else None
    if headers is None:
        return
    seen: set[str] = set()
    for name, value in headers.mapping().items():
        key = name.lower()
        if key in seen:
            raise headers.keys[name].error(f"{value.path}: a second condition on this header")
        seen.add(key)
        made.add(key, value)


def _source(source: Value, selectors: Mapping[str, Labels], made: Conditions) -> None:
    """Convert the calling workload: its labels and namespace.

    A caller given by its service has the labels that the Service selects, if that is known.
    """
    carried, owner = source.get("labels"), source.get("namespace")
    wanted: dict[str, Node] = {}
    if carried is not None:
        wanted |= {key: copied(value) for key, value in carried.mapping().items()}
    namespace: Node | None = copied(owner) if owner is not None else None
    for key in ("name", "service"):
        value = source.get(key)
        if value is None:
            continue
        service = named(source, made.document.namespace)
        selector = selectors.get(service.host, ())
        if not selector:
            made.lose(
                value,
                f"a VirtualService knows callers by labels; give the Service {service.name} too, "
                "whose selector says which",
            )
            return
        _check_selector(selector, carried, made, value)
        wanted = {**{name: scalar(said, value) for name, said in selector}, **wanted}
        namespace = scalar(service.namespace, *([owner] if owner is not None else []))
    if wanted:
        made.node.put("sourceLabels", Node(dict(wanted), (carried or source,)))
    made.node.put("sourceNamespace", namespace)


def _check_selector(
    selector: Labels, carried: Value | None, made: Conditions, value: Value
) -> None:
    own = dict(labels(carried.texts())) if carried is not None else {}
    for name, said in selector:
        if own.get(name, said) != said:
            made.lose(value, f"its Service selects {name}={said}, the labels say otherwise")
