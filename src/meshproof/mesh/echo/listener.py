"""The listener of an echo workload: it says who answered and what arrived, and fails when asked to.

Sources: Envoy's docs on access log operators (`%REQ()%`), and istiod's own config, by which every
request tells its number among the attempts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof.mesh.envoy import listeners
from meshproof.mesh.envoy.envoy import Resource
from meshproof.oracle.actions import FAILURE_HEADER, RESPONSE_HEADER_PREFIX
from meshproof.oracle.derive import Case

#: Header by which an echo workload says who it is.
SERVED_BY = "x-served-by"
SEEN_PATH = "x-seen-path"
SEEN_AUTHORITY = "x-seen-authority"
#: Before the name of a header of the request.
SEEN_HEADER = "x-seen-header-"
_ATTEMPT = "x-envoy-attempt-count"


@dataclass(frozen=True)
class EchoBehaviour:
    """What the workloads must be able to do for some cases.

    They tell the headers `told`, answer with the headers `answering` and fail as in `failing`
    (`503 x2`: the first two attempts).
    """

    told: tuple[str, ...]
    answering: tuple[str, ...]
    failing: tuple[str, ...]

    @classmethod
    def of(cls, cases: Iterable[Case]) -> EchoBehaviour:
        """Return what the cases ask for."""
        told: dict[str, None] = {}
        answering: dict[str, None] = {}
        failing: dict[str, None] = {}
        for case in cases:
            arrivals = case.answer.arrivals
            told |= dict.fromkeys(name for one in arrivals for name, _ in one.request_headers)
            names = [
                name for name, _ in case.call.headers if name.startswith(RESPONSE_HEADER_PREFIX)
            ]
            answering |= dict.fromkeys(name.removeprefix(RESPONSE_HEADER_PREFIX) for name in names)
            asked = [
                value for name, value in case.answer.instruction_headers if name == FAILURE_HEADER
            ]
            failing |= dict.fromkeys(asked)
        return cls(tuple(told), tuple(answering), tuple(failing))


def listener(name: str, lesson: EchoBehaviour, copies: str) -> Resource:
    """Return the listener of a workload; copies of requests are noted in the file `copies`."""
    seen = {SEEN_PATH: "%REQ(:PATH)%", SEEN_AUTHORITY: "%REQ(:AUTHORITY)%"}
    seen |= {f"{SEEN_HEADER}{header}": f"%REQ({header})%" for header in lesson.told}
    seen |= {header: f"%REQ({RESPONSE_HEADER_PREFIX}{header})%" for header in lesson.answering}
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": f"{name}\n"}},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}}
            for key, value in {SERVED_BY: name, **seen}.items()
        ],
    }
    routes = [*map(_failing, lesson.failing), answer]
    host = {"name": name, "domains": ["*"], "routes": routes}
    return listeners.answering(name, {"name": name, "virtual_hosts": [host]}, copies)


def _failing(asked: str) -> Resource:
    how, _, often = asked.rpartition(" x")
    kind, _, number = how.rpartition(" ")
    attempts = {"start": 0, "end": int(often) + 1}
    found: Resource = {
        "match": {
            "prefix": "/",
            "headers": [
                {"name": FAILURE_HEADER, "string_match": {"exact": asked}},
                {"name": _ATTEMPT, "range_match": attempts},
            ],
        },
        "direct_response": {"status": 200 if kind else int(number)},
    }
    if kind:
        status = {"header": {"key": "grpc-status", "value": number}}
        found["response_headers_to_add"] = [status]
    return found
