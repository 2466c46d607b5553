"""What a RouteRule says of requests that come in through a path of an Ingress."""

from __future__ import annotations

from dataclasses import replace

from meshproof.convert.nodes import Node, listed, mapping, scalar
from meshproof.convert.notes import Notes
from meshproof.convert.route_rule import Context, Rule, route_of
from meshproof.rules.legacy.ingress import Path
from meshproof.rules.model import StringMatch


def route_below(
    rule: Rule, namespace: str, path: Path, port: int | None, root: Node, context: Context
) -> Node | None:
    """Return the route of a rule for requests that a path of an Ingress takes, None without any.

    `port` is the one of the service that they go to. What the rule cannot say is named where it is
    converted for the sidecars; here, above `root`, only what comes of both together.
    """
    route = route_of(rule, namespace, replace(context, notes=Notes()))
    content = route.node.content if isinstance(route.node.content, dict) else {}
    match = content.get("match")
    own = _first(match)
    if not route.whole or "sourceLabels" in own or "sourceNamespace" in own:
        return None  # the ingress is none of these callers
    made = Node({"name": scalar(rule.document.name)})
    matches = _matches(own, path, rule, root, context)
    if matches == []:
        return None
    if matches:
        made.put("match", listed(*matches))
    for key, node in content.items():
        if key not in ("name", "match"):
            made.put(key, _bare(node))
    _put_port(content.get("route"), made, port)
    return made


def _first(match: Node | None) -> dict[str, Node]:
    if match is None or not isinstance(match.content, list):
        return {}
    content = match.content[0].content
    return content if isinstance(content, dict) else {}


def _matches(
    own: dict[str, Node], path: Path, rule: Rule, root: Node, context: Context
) -> list[Node] | None:
    """Return the rule's match with each condition of the path; [] for none that could hold."""
    rest = {key: _bare(node) for key, node in own.items() if key != "uri"}
    wanted = _condition(own.get("uri"), path)
    if not path.conditions:
        return [mapping(**{key: _bare(node) for key, node in own.items()})] if own else None
    found = []
    for one in path.conditions:
        if wanted is not None and "regex" in (wanted.kind, one.kind):
            context.notes.doubt(
                path.at.at,
                f"'{rule.document.name}' at {rule.document.at} has a regex for the path: what "
                "both take cannot be written; its route is left out at the gateway",
                root,
            )
            return []
        uri = both(one, wanted)
        if uri is not None:
            found.append(mapping(**rest, uri=mapping(**{uri.kind: scalar(uri.value)})))
    _check_rewrite(rule, path, wanted, root, context)
    return found


def _check_rewrite(
    rule: Rule, path: Path, wanted: StringMatch | None, root: Node, context: Context
) -> None:
    """Name a rewrite that would replace the prefix of the path where it replaced the rule's."""
    rewrite = rule.document.spec.get("rewrite")
    uri = rewrite.get("uri") if rewrite is not None else None
    kept = all(both(one, wanted) == wanted for one in path.conditions if both(one, wanted))
    if uri is not None and not kept:
        context.notes.doubt(
            uri.at, f"{uri.path} replaces what the Ingress at {path.at.at} takes of the path", root
        )


def _condition(node: Node | None, path: Path) -> StringMatch | None:
    if node is None:
        return None
    (kind, value), *_ = node.plain().items()
    return StringMatch(kind, value, path.at.at)


def both(one: StringMatch, other: StringMatch | None) -> StringMatch | None:
    """Return the condition that holds where two of exact and prefix hold, None where that is never.

    (`other` None is a condition that always holds.)
    """
    if other is None:
        return one
    for narrow, wide in ((one, other), (other, one)):
        if wide.kind == "prefix" and narrow.value.startswith(wide.value):
            return narrow
        if wide.kind == narrow.kind == "exact" and wide.value == narrow.value:
            return narrow
    return None


def _bare(node: Node) -> Node:
    """Return a copy that says nothing of its source: comments stay with the sidecars' rules."""
    if isinstance(node.content, dict):
        return Node({key: _bare(one) for key, one in node.content.items()})
    if isinstance(node.content, list):
        return Node([_bare(one) for one in node.content])
    return Node(node.content)


def _put_port(split: Node | None, made: Node, port: int | None) -> None:
    bare = _bare(split) if split is not None else None
    for entry in bare.content if bare is not None and isinstance(bare.content, list) else []:
        content = entry.content if isinstance(entry.content, dict) else {}
        if port is not None and "destination" in content:
            content["destination"].put("port", mapping(number=scalar(port)))
    made.put("route", bare)
