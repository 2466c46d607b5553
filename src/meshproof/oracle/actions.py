"""The oracle of actions: what a call must become on its way, and what its answer must be.

Nothing here is shared with `mesh/` beyond the model. Source: Istio reference, VirtualService;
where it leaves something open (which part of a path a rewrite replaces, which port a redirect
names), what istiod is known to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from meshproof.base.names import CLUSTER_DOMAIN, Labels
from meshproof.oracle import strings
from meshproof.oracle.conditions import OTHER, Call, Pairs, short
from meshproof.rules.actions import Fault, HeaderChanges, Redirect, Rewrite
from meshproof.rules.model import Match, Route, StringMatch, Target

#: Headers by which a request tells an echo workload what to do. Only tests send them.
LATE = "x-envoy-fault-delay-request"
FAILING = "x-meshproof-fails"
ANSWERING = "x-meshproof-answers-"
#: A longer delay than this (seconds) makes the hundreds of requests of a judge too dear.
LONGEST_OFTEN = 5.0
_PORTS = {"http": 80, "https": 443}
#: Headers that frame a message or belong to one hop: with any other value it could not be sent.
_FRAMING = (
    *("connection", "content-length", "expect", "keep-alive", "te", "trailer"),
    *("transfer-encoding", "upgrade"),
)


@dataclass(frozen=True)
class Destination:
    """Who must answer: a service and, with labels, one subset of it."""

    host: str
    labels: Labels
    subset: str

    @property
    def owner(self) -> str:
        """The service in a word; outside the cluster its host."""
        return self.host.split(".")[0] if self.host.endswith(CLUSTER_DOMAIN) else self.host

    def __str__(self) -> str:
        return f"{self.owner} {self.subset}".strip()


#: Destination -> its part of the requests (0..1).
Shares = tuple[tuple[Destination, float], ...]
#: Header (lower case) -> its value; None: it must not be there. A `%` stands for any value.
Wanted = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Arrival:
    """What a destination must see of a request, and the client of its answer.

    `path` is with its query. Of a header that comes several times the workload tells the first.
    """

    path: str
    authority: str
    request: Wanted = ()
    response: Wanted = ()


@dataclass(frozen=True)
class Reply:
    """An answer that no workload gives; an empty `location` and a `body` of None are not looked at.

    `told` is the answer in a few words, for ids.
    """

    status: int
    told: str
    location: str = ""
    body: str | None = None
    response: Wanted = ()


@dataclass(frozen=True)
class Answer:
    """What an answer must be, beside who gives it.

    `reply` comes instead of a destination's answer for the share `replied` of the requests
    (0..1). `arrivals` are those at each destination of the case, in order. `least` is the time in
    seconds before which no answer may come, `late` what it may take beyond other answers. `asked`
    are headers that tell the workload what to do. Copies go to `mirrors`, each for its share.
    `unproven` says what is not looked at; `unjudged` that shares are not. With `delayed` above 0 it
    is judged how many of the answers (0..1) take `late` seconds and more, and not who answers.
    """

    reply: Reply | None = None
    replied: float = 0.0
    arrivals: tuple[Arrival, ...] = ()
    least: float = 0.0
    late: float = 0.0
    asked: Pairs = ()
    mirrors: tuple[tuple[Destination, float], ...] = ()
    unproven: tuple[str, ...] = ()
    unjudged: bool = False
    delayed: float = 0.0


@dataclass(frozen=True)
class Variant:
    """A further request for the sake of an action: what is different about it, in words."""

    words: str
    call: Call
    answer: Answer


def answer(route: Route, match: Match | None, call: Call) -> Answer:
    """Return what the answer to a call must be that a route takes because of a match."""
    fault = route.fault or Fault()
    reply, replied = _reply(route, match, call), 1.0
    if reply is None:
        replied = aborted(route)
        reply = Reply(fault.status, str(fault.status)) if replied else None
    arrivals = tuple(
        _arrival(route, targets, match, call) for targets in by_destination(route).values()
    )
    always = fault.delay if fault.delayed == 100 else 0.0
    return Answer(
        reply=reply,
        replied=replied if reply else 0.0,
        arrivals=arrivals if replied < 1 else (),
        least=always,
        late=fault.delay if fault.delayed else 0.0,
        unjudged=bool(fault.delayed) and fault.delay > LONGEST_OFTEN,
    )


def aborted(route: Route) -> float:
    """Return the part (0..1) of a route's requests that its fault answers."""
    return route.fault.aborted / 100 if route.fault and route.fault.status else 0.0


def plain(call: Call) -> Answer:
    """Return what the answer to a call must be that goes on as it is."""
    return Answer(arrivals=(Arrival(call.target, call.sent_to),))


def by_destination(route: Route) -> dict[Destination, list[Target]]:
    """Return the targets of a split by who answers for them."""
    found: dict[Destination, list[Target]] = {}
    for target in route.split:
        found.setdefault(destination(target), []).append(target)
    return found


def shares(route: Route, rest: float) -> Shares:
    """Return the part that each destination of a route gets; all parts together are `rest`."""
    if not rest:
        return ()
    total = sum(target.weight for target in route.split)
    return tuple(
        (one, rest * sum(target.weight for target in targets) / total)
        for one, targets in by_destination(route).items()
    )


def destination(target: Target) -> Destination:
    """Return who answers for a target."""
    return Destination(target.host, target.labels, target.subset)


def variants(route: Route, match: Match | None, call: Call) -> Iterator[Variant]:
    """Yield the requests that it takes beside the call itself to prove the route's actions."""
    found = answer(route, match, call)
    if names := _changed(route):
        yield from _already_there(route, match, call, names)
    if found.replied == 1:
        return
    mirrors = tuple((destination(one.target), one.percent / 100) for one in route.mirrors)
    for target, share in mirrors:
        if share and not found.replied:
            said = "" if share == 1 else f" for {share * 100:.4g} %"
            changed = replace(found, mirrors=((target, share),), unjudged=True)
            yield Variant(f"mirrored to {target}{said}", call, changed)


# Answers that no workload gives.


def _reply(route: Route, match: Match | None, call: Call) -> Reply | None:
    response = _after(route.headers.response, {})
    if route.redirect is not None:
        code, place = route.redirect.code, _location(route.redirect, match, call)
        told = place if route.redirect.authority or route.redirect.scheme else route.redirect.uri
        return Reply(code, f"{code} to {short(told or place)}", place, None, response)
    if route.direct is not None:
        status = route.direct.status
        empty = call.method == "HEAD" or status in (204, 304)
        body = "" if empty else route.direct.body
        return Reply(status, str(status), body=body, response=response)
    return None


def _location(redirect: Redirect, match: Match | None, call: Call) -> str:
    """Return the URL that a redirect names, without a port that its scheme implies."""
    asked, _, asked_port = call.sent_to.partition(":")
    scheme = redirect.scheme or "http"
    named = call.port if redirect.asked_port else redirect.port
    if named is None and not redirect.authority and asked_port not in ("", "80"):
        named = int(asked_port)
    authority = redirect.authority or asked
    if named is not None and named != _PORTS[scheme]:
        authority += f":{named}"
    path, _, query = call.target.partition("?")
    if redirect.prefix and match and match.uri:
        path = strings.moved(match.uri.value, redirect.prefix, path)
    return f"{scheme}://{authority}{_asking(redirect.uri or path, query)}"


def _asking(path: str, query: str) -> str:
    return f"{path}?{query}" if query and "?" not in path else path


# What arrives.


def _arrival(route: Route, targets: list[Target], match: Match | None, call: Call) -> Arrival:
    """Return the arrival at targets that cannot be told apart: what is true of each of them."""
    ways = []
    for target in targets:
        changes = (route.headers.request, target.headers.request)
        back = (route.headers.response, target.headers.response)
        given = {
            name.removeprefix(ANSWERING): value
            for name, value in call.headers
            if name.startswith(ANSWERING)
        }
        ways.append(
            (
                {pair for one in changes for pair in _after(one, dict(call.headers))},
                {pair for one in back for pair in _after(one, given, joined=True)},
            )
        )
    path, authority = call.target, call.sent_to
    if route.rewrite is not None:
        path, authority = _rewritten(route.rewrite, match, call)
    return Arrival(
        path,
        authority,
        tuple(sorted(set.intersection(*(one for one, _ in ways)), key=str)),
        tuple(sorted(set.intersection(*(one for _, one in ways)), key=str)),
    )


def _rewritten(rewrite: Rewrite, match: Match | None, call: Call) -> tuple[str, str]:
    """Return path and authority after a rewrite. Without a path in the match it is the prefix /."""
    path, uri = call.path, match.uri if match else None
    if rewrite.pattern:
        wanted = StringMatch("regex", rewrite.pattern, rewrite.at)
        path = strings.replaced(wanted, rewrite.substitution, path)
    elif rewrite.uri and uri is not None and uri.kind == "path_prefix":
        path = strings.moved(uri.value, rewrite.uri, path)
    elif rewrite.uri:
        taken = uri.value if uri is not None and uri.kind == "prefix" else "/"
        whole = uri is not None and uri.kind != "prefix"
        path = rewrite.uri if whole else rewrite.uri + path[len(taken) :]
    _, mark, query = call.target.partition("?")
    return f"{path}{mark}{query}", rewrite.authority or call.sent_to


def _after(changes: HeaderChanges, given: dict[str, str], joined: bool = False) -> Wanted:
    """Return the changed headers as they are after the change; `joined`: with all their values."""
    found: dict[str, str | None] = dict.fromkeys(changes.remove)
    found |= dict(changes.set)
    for name, value in changes.add:
        before = given.get(name)
        if before is None:
            found[name] = value
        else:
            found[name] = f"{before}, {value}" if joined else before
    return tuple(found.items())


def _changed(route: Route) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the headers that a route changes in requests and in answers, if there are any."""
    every = route.every_headers
    asking = dict.fromkeys(name for one in every for name in one.request.names)
    back = dict.fromkeys(name for one in every for name in one.response.names)
    if route.redirect or route.direct:
        return None
    return (tuple(asking), tuple(back)) if asking or back else None


def _already_there(
    route: Route, match: Match | None, call: Call, names: tuple[tuple[str, ...], tuple[str, ...]]
) -> Iterator[Variant]:
    """Yield the request whose headers, and whose answer's, are there before they are changed."""
    asking, back = names
    free = [name for name in asking if call.header(name) is None and name not in _FRAMING]
    back = tuple(name for name in back if name not in _FRAMING)
    changed = call
    for name in (*free, *(f"{ANSWERING}{name}" for name in back)):
        changed = changed.with_header(name, OTHER)
    if free or back:
        words = f"{short(', '.join(dict.fromkeys((*free, *back))))} already there"
        found = answer(route, match, changed)
        yield Variant(words, changed, replace(found, unjudged=True))
