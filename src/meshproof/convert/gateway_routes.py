"""Converts RouteRules for requests that enter through a path of an Ingress."""

from __future__ import annotations

from dataclasses import replace

from meshproof.convert.context import Context
from meshproof.convert.nodes import Node, make_list, make_mapping, make_scalar
from meshproof.convert.notes import Notes
from meshproof.convert.route_rule import LegacyRule, convert_route
from meshproof.rules.legacy.ingress import Path
from meshproof.rules.model import StringMatch


def convert_route_below(
    rule: LegacyRule, namespace: str, path: Path, port: int | None, root: Node, context: Context
) -> Node | None:
    """Return the route of a rule for requests to a path of an Ingress, None if it gets none.

    `port` is the service's port of the path. Parts of the rule that cannot be converted are noted
    where it is converted for sidecars; here, above `root`, only problems of both together.
    """
    route = convert_route(rule, namespace, replace(context, notes=Notes()))
    content = route.node.content if isinstance(route.node.content, dict) else {}
    match = content.get("match")
    conditions = _read_first_match(match)
    if not route.is_complete or "sourceLabels" in conditions or "sourceNamespace" in conditions:
        return None  # the ingress is none of these callers
    gateway_route = Node({"name": make_scalar(rule.document.name)})
    matches = _combine_matches(conditions, path, rule, root, context)
    if matches == []:
        return None
    if matches:
        gateway_route.put("match", make_list(*matches))
    for key, node in content.items():
        if key not in ("name", "match"):
            gateway_route.put(key, _copy_without_origins(node))
    _put_split_with_port(content.get("route"), gateway_route, port)
    return gateway_route


def _read_first_match(match: Node | None) -> dict[str, Node]:
    """Return the conditions of the first match, by key."""
    if match is None or not isinstance(match.content, list):
        return {}
    content = match.content[0].content
    return content if isinstance(content, dict) else {}


def _combine_matches(
    conditions: dict[str, Node], path: Path, rule: LegacyRule, root: Node, context: Context
) -> list[Node] | None:
    """Return the rule's match combined with each condition of the path.

    None without any condition, [] if no request can satisfy both.
    """
    other_conditions = {
        key: _copy_without_origins(node) for key, node in conditions.items() if key != "uri"
    }
    rule_uri = _read_condition(conditions.get("uri"), path)
    if not path.conditions:
        return (
            [make_mapping(**{key: _copy_without_origins(node) for key, node in conditions.items()})]
            if conditions
            else None
        )
    matches = []
    for path_uri in path.conditions:
        if rule_uri is not None and "regex" in (rule_uri.kind, path_uri.kind):
            context.notes.add_doubt(
                path.entry.at,
                f"'{rule.document.name}' at {rule.document.at} has a regex for the path: what "
                "both take cannot be written; its route is left out at the gateway",
                root,
            )
            return []
        uri = intersect(path_uri, rule_uri)
        if uri is not None:
            matches.append(
                make_mapping(
                    **other_conditions, uri=make_mapping(**{uri.kind: make_scalar(uri.value)})
                )
            )
    _check_rewrite(rule, path, rule_uri, root, context)
    return matches


def _check_rewrite(
    rule: LegacyRule, path: Path, rule_uri: StringMatch | None, root: Node, context: Context
) -> None:
    """Note a rewrite that would replace the path's prefix instead of the rule's."""
    rewrite = rule.actions.rewrite
    uri = rewrite.prefix if rewrite is not None else None
    is_same_prefix = all(
        intersect(path_uri, rule_uri) == rule_uri
        for path_uri in path.conditions
        if intersect(path_uri, rule_uri)
    )
    if uri is not None and not is_same_prefix:
        message = f"{uri.path} replaces what the Ingress at {path.entry.at} takes of the path"
        context.notes.add_doubt(uri.at, message, root)


def _read_condition(node: Node | None, path: Path) -> StringMatch | None:
    """Return the condition on the URI, None if there is none."""
    if node is None:
        return None
    (kind, value), *_ = node.to_python().items()
    return StringMatch(kind, value, path.entry.at)


def intersect(first: StringMatch, second: StringMatch | None) -> StringMatch | None:
    """Return the condition that holds where both hold, None if that is impossible.

    Both are of kind exact or prefix; `second` None always holds.
    """
    if second is None:
        return first
    for narrow, wide in ((first, second), (second, first)):
        if wide.kind == "prefix" and narrow.value.startswith(wide.value):
            return narrow
        if wide.kind == narrow.kind == "exact" and wide.value == narrow.value:
            return narrow
    return None


def _copy_without_origins(node: Node) -> Node:
    """Return a copy without origins, so that comments stay with the sidecars' rules."""
    if isinstance(node.content, dict):
        return Node({key: _copy_without_origins(child) for key, child in node.content.items()})
    if isinstance(node.content, list):
        return Node([_copy_without_origins(child) for child in node.content])
    return Node(node.content)


def _put_split_with_port(split: Node | None, route: Node, port: int | None) -> None:
    """Put the destinations into a route, each with the port."""
    bare_split = _copy_without_origins(split) if split is not None else None
    for entry in (
        bare_split.content
        if bare_split is not None and isinstance(bare_split.content, list)
        else []
    ):
        content = entry.content if isinstance(entry.content, dict) else {}
        if port is not None and "destination" in content:
            content["destination"].put("port", make_mapping(number=make_scalar(port)))
    route.put("route", bare_split)
