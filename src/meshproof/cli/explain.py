"""`meshproof explain`: which routes a request meets, in order, and why each takes it or not."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from meshproof.base import errors
from meshproof.base.escaping import escape_line
from meshproof.base.names import format_labels
from meshproof.base.output import print_json, write
from meshproof.options import command_line, sources

if TYPE_CHECKING:
    from meshproof.mesh.http import HttpRequest
    from meshproof.oracle.explanation import AskedRoute, Attempt, Explanation
    from meshproof.user_rules.asking import SentAnswer
    from meshproof.user_rules.loading import UserRules

DESCRIPTION = (
    "Explains one request: every route that the proxy asks, in order, with the reason why it takes "
    "the request or not, and the file and line of that reason. RULES is a file, a folder, - or "
    "cluster:[CONTEXT/]NAMESPACE. URL names a host of a Gateway, or with --from, one of the mesh."
)
EPILOG = (
    "It ends with 0 when the request is explained, whatever becomes of it; with --send, with 1 "
    "where a real Envoy answers otherwise."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    add_request_arguments(parser)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    parser.add_argument(
        "--send",
        action="store_true",
        help="send the request to a real Envoy that serves the rules, too, and say what differs",
    )
    command_line.add_options(parser, "explain")


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which request is meant."""
    add = parser.add_argument
    add("rules", metavar="RULES", help="a rule file, a folder, cluster:NAMESPACE")
    add("url", metavar="URL", help="http://HOST[:PORT]/PATH")
    add(
        *("-H", "--header"),
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header of the request; may be repeated",
    )
    add("-X", "--request", default="GET", metavar="METHOD", help="default: GET")
    add(
        "--from",
        dest="caller",
        default="",
        metavar="WORKLOAD",
        help="the calling workload: [NAMESPACE/]NAME, or labels in place of the name "
        "(default: a client outside the mesh, where a Gateway serves the host)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the explanation; return the exit code (see EPILOG).

    Raises UsageError for a URL or workload that is none, BadRules for rules that cannot be read.
    """
    sources.fill_in("explain", options)
    from meshproof.user_rules import asking

    user_rules = asking.load_rules(options)
    explanation = asking.explain_url(asking.read_called_url(options), user_rules)
    answer = asking.send(explanation, user_rules, options.envoy) if options.send else None
    request = asking.build_request(explanation, user_rules)
    if options.output == "json":
        print_json(_to_json(explanation, user_rules, request, answer))
    else:
        lines = [*user_rules.world_notes, *_render(explanation, answer)]
        lines += list(map(str, user_rules.excluded))
        write("".join(f"{escape_line(line)}\n" for line in lines))
    return errors.EXIT_FAILED if answer is not None and answer.differs else errors.EXIT_PASSED


def _render(explanation: Explanation, answer: SentAnswer | None) -> Iterator[str]:
    """Yield the lines of the report."""
    from meshproof.user_rules.called_url import list_columns

    call = explanation.call
    if explanation.entrance is not None:
        gateway = explanation.entrance
        yield f"gateway {gateway.name} port {call.port} ({gateway.at})"
    else:
        labels = format_labels(call.source)
        caller = f"a workload with {labels}" if labels else "a workload"
        yield f"sidecar of {caller} in namespace {call.namespace}, for {call.host}:{call.port}"
    yield from (f"  note: {note}" for note in explanation.notes)
    previous = None
    rows: list[tuple[str, ...]] = []
    for asked in explanation.routes:
        if asked.table is not previous:
            yield from list_columns(rows) if rows else ()
            rows = []
            table = asked.table
            yield f"-> rule {table.namespace}/{table.name} ({table.at})"
            previous = asked.table
        rows += _render_route(asked, explanation)
    yield from list_columns(rows) if rows else ()
    yield from _render_ending(explanation, answer)


def _render_route(asked: AskedRoute, explanation: Explanation) -> Iterator[tuple[str, ...]]:
    """Yield a row for each match of a route, one alone where it is not asked or takes it."""
    name = f"  route {asked.index + 1} {asked.route.name}".rstrip()
    if not asked.is_asked:
        yield name, "not asked", "", str(asked.route.at)
        return
    for attempt in asked.attempts:
        if attempt.is_taken:
            place = attempt.match.at if attempt.match else asked.route.at
            yield name, "TAKES", _describe_taken(attempt, explanation), str(place)
            return
        if attempt.missed is not None:
            yield name, "no", _describe_missed(attempt, explanation), str(attempt.missed.at)
        name = ""


def _describe_taken(attempt: Attempt, explanation: Explanation) -> str:
    """Return what a match that takes the request demands, and who answers."""
    from meshproof.user_rules.asking import describe_answer, list_demands

    demands = " and ".join(list_demands(attempt.match)) or "every request"
    return f"{demands} -> {describe_answer(explanation)}"


def _describe_missed(attempt: Attempt, explanation: Explanation) -> str:
    """Return which condition does not hold, and what the request has in its place."""
    condition = attempt.missed
    assert condition is not None
    has = condition.describe(explanation.call)
    return f"wants {condition.text}" + (f"; the request has {has}" if has else "")


def _render_ending(explanation: Explanation, answer: SentAnswer | None) -> Iterator[str]:
    """Yield what becomes of the request, what will fail, and what a real Envoy did."""
    from meshproof.user_rules import asking
    from meshproof.user_rules.causes import explain_dead_end

    case = explanation.case
    if explanation.taken is None:
        yield f"no route takes it: {asking.describe_answer(explanation)}"
    for dead_end in case.dead_ends if case else ():
        cause = explain_dead_end(dead_end)
        share = "" if dead_end.share == 1 else f"{dead_end.share * 100:.4g} % of the requests: "
        yield f"will fail: {share}{cause.what} ({cause.detail}), {cause.place}"
    for change in asking.list_changes(explanation):
        yield f"  {change}"
    if answer is not None:
        yield f"sent: {answer.curl}"
        verdict = "otherwise than explained" if answer.differs else "as explained"
        yield f"  a real Envoy answered {verdict}: {answer.text}"


def _to_json(
    explanation: Explanation,
    user_rules: UserRules,
    request: HttpRequest,
    answer: SentAnswer | None,
) -> dict[str, Any]:
    """Return the explanation as a JSON value."""
    from meshproof.user_rules import asking

    call = explanation.call
    taken = explanation.taken
    value: dict[str, Any] = {
        "request": {
            "method": request.method,
            "path": request.path,
            "headers": dict(request.headers),
            "gateway": call.gateway,
            "port": call.port,
            "namespace": call.namespace,
            "source": dict(call.source),
        },
        "routes": [_route_to_json(asked, explanation) for asked in explanation.routes],
        "taken": str(taken.route.at) if taken else None,
        "answer": asking.describe_answer(explanation),
        "changes": list(asking.list_changes(explanation)),
        "notes": list(explanation.notes),
        "world": list(user_rules.world_notes),
        "not_checked": [str(excluded) for excluded in user_rules.excluded],
    }
    if answer is not None:
        value["sent"] = {"differs": answer.differs, "text": answer.text, "curl": answer.curl}
    return value


def _route_to_json(asked: AskedRoute, explanation: Explanation) -> dict[str, Any]:
    """Return a route and its matches as a JSON value."""
    return {
        "rule": f"{asked.table.namespace}/{asked.table.name}",
        "route": asked.index + 1,
        "name": asked.route.name,
        "place": str(asked.route.at),
        "asked": asked.is_asked,
        "takes": asked.taken is not None,
        "misses": [
            {"because": _describe_missed(attempt, explanation), "place": str(attempt.missed.at)}
            for attempt in asked.attempts
            if attempt.is_asked and attempt.missed is not None
        ],
    }
