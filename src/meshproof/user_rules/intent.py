"""Intent: requests and what is meant to become of them, as a person wrote it down.

    intent:
    - name: beta testers see v2
      request: {host: shop.example.com, path: /api, headers: {x-beta: "true"}}
      to: podinfo v2

A mesh may do all that its rules say and still not what was meant. Each expectation becomes a case
whose answer is the written one, asked on the mesh like every other case; its title names both the
expectation and the route that decides its request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshproof.base.errors import BadRules, UsageError, pluralize, suggest_nearest
from meshproof.base.names import CLUSTER_DOMAIN, format_labels
from meshproof.documents.parser import parse_values
from meshproof.documents.value import At, Value
from meshproof.oracle.actions import (
    Arrival,
    Destination,
    ExpectedAnswer,
    ExpectedHeaders,
    ProxyReply,
    Shares,
)
from meshproof.oracle.case import Case
from meshproof.rules.judge_options import Option
from meshproof.rules.model import Target
from meshproof.user_rules.called_url import CalledUrl, build_call
from meshproof.user_rules.not_proven import name_route

if TYPE_CHECKING:
    from meshproof.user_rules.loading import UserRules

#: The file beside the rules that is read without being named.
FILE_NAME = "meshproof.yaml"
#: The keys of an expectation and of its request; docs/reference/intent.schema.json is made of them.
KEYS = (
    *("name", "request", "to", "status", "redirect"),
    *("headers", "response_headers", "mirror", "tolerance"),
)
REQUEST_KEYS = ("host", "path", "method", "headers", "port", "from")
_MAX_WEIGHT = 1_000_000
_REDIRECT_STATUSES = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Expectation:
    """One expectation as it is written: a request, and who or what answers it.

    `destinations` are words for a destination -> its weight; with `status` the proxy answers,
    with `redirect` it sends the client there. `headers` are those with which the request must
    arrive, `response_headers` those that the client must get; None is for one that must not be
    there. `mirror` are words for who gets copies. `tolerance`
    is the share (0..1) by which a weight may be off, None for the run's.
    """

    name: str
    at: At
    called: CalledUrl
    destinations: Mapping[str, float]
    destinations_at: At
    status: int = 0
    redirect: str = ""
    mirror: str = ""
    tolerance: float | None = None
    tolerance_at: At | None = None
    headers: ExpectedHeaders = ()
    response_headers: ExpectedHeaders = ()


def read_expectations(path: str) -> list[Expectation]:
    """Return the expectations of a file.

    Raises UsageError for a file that cannot be read, BadRules with file and line for what is wrong
    in it: an unknown key, with the nearest one, or a value of another kind.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UsageError(f"--intent {path}: {reason}") from None
    expectations: list[Expectation] = []
    for root in parse_values(text, path):
        _check_keys(root, ("intent",))
        expectations += [_read_expectation(value) for value in root.need("intent").items()]
    names: dict[str, At] = {}
    for expectation in expectations:
        if expectation.name in names:
            raise expectation.at.error(
                f"'{expectation.name}' stands twice; first at {names[expectation.name]}"
            )
        names[expectation.name] = expectation.at
    return expectations


def find_files(paths: Iterable[str]) -> list[str]:
    """Return the intent files of folders of rules: those called FILE_NAME, not below them."""
    files = (Path(path, FILE_NAME) for path in paths if Path(path).is_dir())
    return [str(file) for file in files if file.is_file()]


def add_intent(user_rules: UserRules, expectations: Iterable[Expectation]) -> UserRules:
    """Return the rules with a case for each expectation, and a note on what none touches.

    Raises BadRules with file and line for a request that nothing serves, and for a destination
    that is not there, with the nearest one.
    """
    expectations = list(expectations)
    if not expectations:
        return user_rules
    destinations = _list_destinations(user_rules)
    problems: list[BadRules] = []
    cases: list[Case] = []
    for expectation in expectations:
        try:
            cases.append(_make_case(expectation, user_rules, destinations))
        except BadRules as error:
            problems.append(error)
    if problems:
        raise BadRules("\n".join(map(str, problems)))
    plan = replace(user_rules.plan, cases=(*user_rules.plan.cases, *cases))
    untouched, route_count = _list_untouched(user_rules, cases)
    note = _describe_coverage(untouched, route_count)
    return replace(
        user_rules,
        plan=plan,
        notes=(*user_rules.notes, note),
        intent_share=1 - len(untouched) / route_count if route_count else 1.0,
    )


def write_intent(user_rules: UserRules) -> str:
    """Return a first intent file: one expectation for each route, as the rules have it today."""
    import yaml

    entries: list[dict[str, Any]] = []
    routes: set[tuple[int, int]] = set()
    names: Counter[str] = Counter()
    for case in user_rules.plan.cases:
        key = case.table_index, -1 if case.route_index is None else case.route_index
        answer = case.answer
        is_plain = not (answer.instruction_headers or answer.delayed_share or answer.ignores_shares)
        if key in routes or not is_plain or (answer.proxy_reply and case.shares):
            continue
        expectation = _write_case(case)
        if any(expectation["request"] == entry["request"] for entry in entries):
            continue  # of another Gateway, or of a table that has the same host
        routes.add(key)
        name = _name_case(case, user_rules)
        names[name] += 1
        number = f" ({names[name]})" if names[name] > 1 else ""
        entries.append({"name": f"{name}{number}", **expectation})
    return yaml.safe_dump({"intent": entries}, sort_keys=False, allow_unicode=True, width=100)


def _read_expectation(value: Value) -> Expectation:
    """Return one expectation."""
    _check_keys(value, KEYS)
    request = value.need("request")
    _check_keys(request, REQUEST_KEYS)
    to, status, redirect = value.get("to"), value.get("status"), value.get("redirect")
    mirror, tolerance = value.get("mirror"), value.get("tolerance")
    if to is None and status is None and redirect is None:
        raise value.at.error("expected one of 'to', 'status', 'redirect'", path=value.path)
    if to is not None and (status is not None or redirect is not None):
        raise to.at.error("either 'to', or 'status' and 'redirect'", path=to.path)
    headers, response_headers = value.get("headers"), value.get("response_headers")
    if headers is not None and to is None:
        raise headers.at.error("they arrive nowhere without 'to'", path=headers.path)
    return Expectation(
        value.need("name").non_empty_text(),
        value.at,
        _read_request(request),
        _read_destinations(to) if to is not None else {},
        to.at if to is not None else value.at,
        status.integer(100, 599) if status is not None else 0,
        redirect.non_empty_text() if redirect is not None else "",
        mirror.non_empty_text() if mirror is not None else "",
        _read_number(tolerance, 0.001, 0.999) if tolerance is not None else None,
        tolerance.at if tolerance is not None else None,
        _read_expected_headers(headers),
        _read_expected_headers(response_headers),
    )


def _read_expected_headers(value: Value | None) -> ExpectedHeaders:
    """Return header (lower case) -> its text; None for `null`: it must not be there."""
    return tuple(
        (name.lower(), None if header.content is None else header.text())
        for name, header in (value.mapping() if value is not None else {}).items()
    )


def _read_request(request: Value) -> CalledUrl:
    """Return the request of an expectation."""
    path, port, method = request.get("path"), request.get("port"), request.get("method")
    headers, caller = request.get("headers"), request.get("from")
    host = request.need("host").non_empty_text()
    port_text = f":{port.integer(1, 65535)}" if port is not None else ""
    path_text = path.text() if path is not None else "/"
    if path is not None and not path_text.startswith("/"):
        raise path.error("a path that begins with /")
    pairs = headers.text_mapping() if headers is not None else {}
    return CalledUrl(
        f"http://{host}{port_text}{path_text}",
        method.non_empty_text() if method is not None else "GET",
        tuple(f"{name}: {text}" for name, text in pairs.items()),
        caller.non_empty_text() if caller is not None else "",
    )


def _read_destinations(to: Value) -> dict[str, float]:
    """Return words for a destination -> weight, of a text or of a mapping."""
    if isinstance(to.content, dict):
        weights = {
            words: _read_number(weight, 0, _MAX_WEIGHT) for words, weight in to.content.items()
        }
        if not sum(weights.values()):
            raise to.error("weights that are not all 0")
        return {words: weight for words, weight in weights.items() if weight}
    return {to.non_empty_text(): 1}


def _read_number(value: Value, minimum: float, maximum: float) -> float:
    """Return a number in [minimum, maximum]. Raises BadRules otherwise."""
    number = value.content
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number or not minimum <= number <= maximum:  # type: ignore[operator]
        raise value.error(f"a number from {minimum:g} to {maximum:g}")
    return float(number)  # type: ignore[arg-type]


def _check_keys(value: Value, valid: tuple[str, ...]) -> None:
    """Raise BadRules for a key that is none of the valid ones."""
    for key in value.mapping():
        if key not in valid:
            raise value.keys[key].error(
                f"unknown key '{key}'{suggest_nearest(key, valid)}; expected {', '.join(valid)}",
                path=value.path,
            )


#: Words -> the destinations that they may mean.
_Destinations = Mapping[str, set[Destination]]


def _list_destinations(user_rules: UserRules) -> dict[str, set[Destination]]:
    """Return words -> destinations: services by any of their names, with or without a subset.

    A subset that a DestinationRule defines and no route sends to is one as well: rules that do not
    send there do not do what is meant. It takes no words from those that routes send to.
    """
    routed = (
        target
        for table in user_rules.rules.tables
        for route in table.routes
        for target in route.targets
    )
    defined = (
        Target(rule.host, labels, 0, subset_name=name)
        for rule in user_rules.rules.destination_rules
        for name, labels in rule.subsets
        if "*" not in rule.host
    )
    services = user_rules.known_hosts.world.services
    return {**_name_destinations(defined), **_name_destinations(routed, services)}


def _name_destinations(
    targets: Iterable[Target], services: Iterable[str] = ()
) -> dict[str, set[Destination]]:
    """Return words -> destinations of targets, and of further services by full host."""
    destinations: dict[str, set[Destination]] = {}
    listed = list(targets)
    for host in dict.fromkeys((*(target.host for target in listed), *services)):
        for name in _list_names(host):
            destinations.setdefault(name, set()).add(Destination(host, (), ""))
    for target in listed:
        destination = Destination(target.host, target.labels, target.subset)
        for name in _list_names(target.host) if target.labels else ():
            for subset_name in filter(None, (target.subset_name, target.subset)):
                destinations.setdefault(f"{name} {subset_name}", set()).add(destination)
    return destinations


def _list_names(host: str) -> Iterator[str]:
    """Yield the names of a service: short, with its namespace, in full."""
    if host.endswith(f".{CLUSTER_DOMAIN}"):
        name, namespace = host.split(".")[:2]
        yield from (name, f"{name}.{namespace}")
    yield host


def _make_case(
    expectation: Expectation, user_rules: UserRules, destinations: _Destinations
) -> Case:
    """Return the case of an expectation: its request, with the answer that is meant."""
    at = expectation.at
    try:
        call = build_call(expectation.called, user_rules)
    except UsageError as error:
        raise at.error(str(error)) from None
    explanation = user_rules.explainer.explain(call)
    if explanation is None or explanation.case is None:
        raise at.error(f"nothing here serves {call.host_header}:{call.port}")
    shares = _read_shares(expectation, destinations)
    reply = _make_reply(expectation)
    mirror = ((_find(expectation.mirror, at, destinations), 1.0),) if expectation.mirror else ()
    case = explanation.case
    answer = ExpectedAnswer(
        reply,
        1.0 if reply else 0.0,
        min_seconds=case.answer.min_seconds,
        extra_seconds=case.answer.extra_seconds,
        arrivals=_make_arrivals(expectation, case, len(shares)),
        mirrors=mirror,
    )
    taken = explanation.taken
    decided_by = f"the route at {taken.route.at} decides" if taken else "no route takes it"
    answer_text = reply.summary if reply else ", ".join(_format_shares(shares))
    options = case.options
    if expectation.tolerance is not None and expectation.tolerance_at is not None:
        tolerance = Option("tolerance", expectation.tolerance, expectation.tolerance_at)
        options = (*(option for option in options if option.name != "tolerance"), tolerance)
    return replace(
        case,
        id=f"intent: {expectation.name} -> {answer_text}",
        title=f"intent '{expectation.name}' at {at}: {answer_text}; {decided_by}",
        shares=shares,
        status=reply.status if reply else 200,
        answer=answer,
        at=at,
        options=options,
        table_index=_find_table(taken.table.at, user_rules) if taken else 0,
        route_index=taken.index if taken else None,
    )


def _find_table(at: At, user_rules: UserRules) -> int:
    """Return the index of the table at a place in the plan."""
    places = [coverage.table.at for coverage in user_rules.plan.coverage]
    return places.index(at)


def _read_shares(expectation: Expectation, destinations: _Destinations) -> Shares:
    """Return the expected share of each destination, by what its words mean."""
    weights: dict[Destination, float] = {}
    for host_name, weight in expectation.destinations.items():
        destination = _find(host_name, expectation.destinations_at, destinations)
        weights[destination] = weights.get(destination, 0.0) + weight
    total = sum(weights.values())
    return tuple((destination, weight / total) for destination, weight in weights.items())


def _find(host_name: str, at: At, destinations: _Destinations) -> Destination:
    """Return the destination that a name means. Raises BadRules with the nearest, or with all."""
    candidates = destinations.get(" ".join(host_name.split()), set())
    if len(candidates) == 1:
        return next(iter(candidates))
    if candidates:
        hosts = ", ".join(sorted(destination.host for destination in candidates))
        raise at.error(f"'{host_name}' may be any of {hosts}: name it in full")
    hint = suggest_nearest(host_name, destinations)
    raise at.error(f"no destination of the rules is called '{host_name}'{hint}")


def _make_reply(expectation: Expectation) -> ProxyReply | None:
    """Return the reply of a proxy that is meant, None where a destination answers."""
    if not expectation.status and not expectation.redirect:
        return None
    status = expectation.status or _REDIRECT_STATUSES[0]
    summary = f"{status} to {expectation.redirect}" if expectation.redirect else str(status)
    return ProxyReply(
        status, summary, expectation.redirect, response_headers=expectation.response_headers
    )


def _make_arrivals(expectation: Expectation, case: Case, count: int) -> tuple[Arrival, ...]:
    """Return how the request must arrive at each of `count` destinations; () where none is meant.

    Path and authority are those that the rules give it: an expectation says nothing of them.
    """
    if not (expectation.headers or expectation.response_headers):
        return ()
    by_rules = next(iter(case.answer.arrivals), None)
    path = by_rules.path if by_rules else case.call.request_target
    authority = by_rules.authority if by_rules else case.call.host_header
    arrival = Arrival(path, authority, expectation.headers, expectation.response_headers)
    return (arrival,) * count


def _format_shares(shares: Shares) -> Iterator[str]:
    """Yield each destination, with its share where there are several."""
    for destination, share in shares:
        yield f"{destination} {share * 100:.4g} %" if len(shares) > 1 else str(destination)


def _list_untouched(user_rules: UserRules, cases: Iterable[Case]) -> tuple[list[str], int]:
    """Return the routes that no expectation is about, in words, and how many routes there are."""
    touched = {(case.table_index, case.route_index) for case in cases}
    routes = [
        (number, index, coverage.table)
        for number, coverage in enumerate(user_rules.plan.coverage)
        for index in range(len(coverage.table.routes))
    ]
    untouched = [
        f"{name_route(index, table.routes[index])} of {table.name} ({table.routes[index].at})"
        for number, index, table in routes
        if (number, index) not in touched
    ]
    return untouched, len(routes)


def _describe_coverage(untouched: Sequence[str], route_count: int) -> str:
    """Return a note that counts the routes of expectations and names the others."""
    count = route_count - len(untouched)
    others = f"; none is about {', '.join(untouched)}" if untouched else ""
    return f"intent: expectations are about {count} of {pluralize(route_count, 'route')}{others}"


def _name_case(case: Case, user_rules: UserRules) -> str:
    """Return a name for the expectation of a case."""
    route = user_rules.name_route(case) or f"no route of {case.id.partition(':')[0]}"
    return f"{route} ({case.at})"


def _round(weight: float) -> float:
    """Return a weight without digits that nobody wrote."""
    rounded = round(weight, 4)
    return int(rounded) if rounded.is_integer() else rounded


def _write_case(case: Case) -> dict[str, Any]:
    """Return request and answer of a case as an intent file has them."""
    call = case.call
    request: dict[str, Any] = {"host": call.host_header.partition(":")[0]}
    if call.request_target != "/":
        request["path"] = call.request_target
    if call.method != "GET":
        request["method"] = call.method
    if call.headers:
        request["headers"] = dict(call.headers)
    if call.port != 80:
        request["port"] = call.port
    if call.source:
        labels = format_labels(call.source)
        request["from"] = f"{call.namespace}/{labels}"
    if case.answer.proxy_reply:
        reply = case.answer.proxy_reply
        to: dict[str, Any] = {"status": reply.status}
        to |= {"redirect": reply.location} if reply.location else {}
    elif len(case.shares) == 1:
        to = {"to": str(case.shares[0][0])}
    else:
        to = {"to": {str(destination): _round(share * 100) for destination, share in case.shares}}
    return {"request": request, **to}
