"""Make the listener of an echo workload: it says who answered and what arrived, or fails.

It fails only the requests that ask for it. Sources: Envoy's docs on access log operators
(`%REQ()%`), and istiod's own config: with it each request has the number of its attempt.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.mesh.envoy import listeners
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import Resource
from meshproof.oracle.actions import FAILURE_HEADER, RESPONSE_HEADER_PREFIX
from meshproof.oracle.derive import Case
from meshproof.rules.model import RuleSet

#: Header with the name of the echo workload that answered.
SERVED_BY_HEADER = "x-served-by"
#: Header with the number of its pod that answered.
POD_HEADER = "x-served-by-pod"
SEEN_PATH_HEADER = "x-seen-path"
SEEN_AUTHORITY_HEADER = "x-seen-authority"
#: Prefix to the name of a request header that arrived.
SEEN_HEADER_PREFIX = "x-seen-header-"
_ATTEMPT_HEADER = "x-envoy-attempt-count"


@dataclass(frozen=True)
class MarkerHeaders:
    """The names of the headers by which echo workloads tell who answered and what arrived.

    `suffix` follows each name; it sets them apart from headers that the rules change.
    """

    suffix: str = ""

    @classmethod
    def for_rules(cls, rules: RuleSet) -> MarkerHeaders:
        """Return names that no rule changes in a response."""
        routes = (route for table in rules.tables for route in table.routes)
        changes = [headers.response for route in routes for headers in route.all_headers]
        changed_names = {
            name.lower()
            for change in changes
            for name in (*(name for name, _ in change.set + change.add), *change.remove)
        }
        suffixes = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        return next(markers for markers in map(cls, suffixes) if not markers._meets(changed_names))

    def _meets(self, names: Iterable[str]) -> bool:
        """Return whether one of the names is one of these headers."""
        return any(
            name in (self.served_by, self.pod, self.path, self.authority)
            or name.startswith(self.request_header_prefix)
            for name in names
        )

    @property
    def served_by(self) -> str:
        """The header with the name of the echo workload that answered."""
        return f"{SERVED_BY_HEADER}{self.suffix}"

    @property
    def pod(self) -> str:
        """The header with which of the workload's pods answered."""
        return f"{POD_HEADER}{self.suffix}"

    @property
    def path(self) -> str:
        """The header with the path that arrived."""
        return f"{SEEN_PATH_HEADER}{self.suffix}"

    @property
    def authority(self) -> str:
        """The header with the authority that arrived."""
        return f"{SEEN_AUTHORITY_HEADER}{self.suffix}"

    @property
    def request_header_prefix(self) -> str:
        """What comes before the name of a request header that arrived."""
        return f"{SEEN_HEADER_PREFIX.removesuffix('-')}{self.suffix}-"


@dataclass(frozen=True)
class EchoBehaviour:
    """What the echo workloads must be able to do for some cases.

    They report the request headers `reported_headers`, answer with the headers `response_headers`
    and fail as in `failures` (`503 x2`: the first two attempts).
    """

    reported_headers: tuple[str, ...]
    response_headers: tuple[str, ...]
    failures: tuple[str, ...]

    @classmethod
    def from_cases(cls, cases: Iterable[Case]) -> EchoBehaviour:
        """Return the behaviour that the cases need."""
        reported_headers: dict[str, None] = {}
        response_headers: dict[str, None] = {}
        failures: dict[str, None] = {}
        for case in cases:
            arrivals = case.answer.arrivals
            reported_headers |= dict.fromkeys(
                name for arrival in arrivals for name, _ in arrival.request_headers
            )
            names = [
                name for name, _ in case.call.headers if name.startswith(RESPONSE_HEADER_PREFIX)
            ]
            response_headers |= dict.fromkeys(
                name.removeprefix(RESPONSE_HEADER_PREFIX) for name in names
            )
            instructions = [
                value for name, value in case.answer.instruction_headers if name == FAILURE_HEADER
            ]
            failures |= dict.fromkeys(instructions)
        return cls(tuple(reported_headers), tuple(response_headers), tuple(failures))


def name_tls_listener(name: str) -> str:
    """Return the name of the listener at which a workload speaks TLS."""
    return f"{name} tls"


def name_pod_listener(name: str, number: int) -> str:
    """Return the name of the listener of a workload's pod, from 0: the first has its name."""
    return f"{name} pod {number + 1}" if number else name


def make_echo_listener(
    name: str,
    behaviour: EchoBehaviour,
    markers: MarkerHeaders,
    copies_path: str,
    server: Identity | None = None,
    pod: int = 0,
) -> Resource:
    """Return the listener of a workload's pod, with `server` the one at which it speaks TLS.

    It notes mirrored copies in the file `copies_path`.
    """
    response_headers = {
        markers.pod: str(pod + 1),
        markers.path: "%REQ(:PATH)%",
        markers.authority: "%REQ(:AUTHORITY)%",
    }
    response_headers |= {
        f"{markers.request_header_prefix}{header}": f"%REQ({header})%"
        for header in behaviour.reported_headers
    }
    response_headers |= {
        header: f"%REQ({RESPONSE_HEADER_PREFIX}{header})%" for header in behaviour.response_headers
    }
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": f"{name}\n"}},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}}
            for key, value in {markers.served_by: name, **response_headers}.items()
        ],
    }
    routes = [*map(_make_failure_route, behaviour.failures), answer]
    host = {"name": name, "domains": ["*"], "routes": routes}
    listener = listeners.make_answering_listener(
        name, {"name": name, "virtual_hosts": [host]}, copies_path, server
    )
    own_name = name_tls_listener(name) if server else name_pod_listener(name, pod)
    return {**listener, "name": own_name}


def _make_failure_route(instruction: str) -> Resource:
    """Return the route that fails the first attempts of requests with an instruction (`503 x2`)."""
    failure, _, count = instruction.rpartition(" x")
    kind, _, number = failure.rpartition(" ")
    attempts = {"start": 0, "end": int(count) + 1}
    route: Resource = {
        "match": {
            "prefix": "/",
            "headers": [
                {"name": FAILURE_HEADER, "string_match": {"exact": instruction}},
                {"name": _ATTEMPT_HEADER, "range_match": attempts},
            ],
        },
        "direct_response": {"status": 200 if kind else int(number)},
    }
    if kind:
        status = {"header": {"key": "grpc-status", "value": number}}
        route["response_headers_to_add"] = [status]
    return route
