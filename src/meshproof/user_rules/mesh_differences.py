"""What two real meshes answer differently where the rules of both say the same.

Two versions of istiod with one set of rules are such a pair. Each request is sent to both, more
often where answers vary, until chance is ruled out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshproof.mesh.echo.case_mesh import CaseMesh
from meshproof.mesh.http import HttpResponse
from meshproof.mesh.istiod import config_dump
from meshproof.oracle.case import Case
from meshproof.user_rules.changes import ComparedRequest
from meshproof.user_rules.compare import CaseComparison
from meshproof.user_rules.sides import Side
from meshproof.verdict.two_samples import differs

#: The chance that equal meshes are taken for different ones, for one kind of answer to a request.
_ALPHA = 1e-10
#: How often each mesh is asked at first, and once more where the answers are not all the same.
_STEPS = (3, 25, 200)
#: From here on answers look different: they are asked for more.
_SUSPICION = 1e-3
#: What each response has for itself: clocks, and words about the proxy itself.
_IGNORED = frozenset(
    {"date", "server", "content-length", "x-envoy-upstream-service-time", "connection"}
    | {"x-envoy-decorator-operation", "transfer-encoding", "vary"}
)
#: So many places of the config are printed.
_MAX_PLACES = 8

Parts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class OpenedSide:
    """A side whose mesh serves its rules."""

    side: Side
    mesh: CaseMesh


@dataclass(frozen=True)
class MeshDifference:
    """Requests that two meshes answer differently in the same way.

    `before` and `after` are what each answered to the smallest of them, in words, `config` the
    places of Envoy's config that differ, if both meshes tell theirs.
    """

    smallest: ComparedRequest
    requests: tuple[ComparedRequest, ...]
    before: str
    after: str
    config: tuple[str, ...]


def find_mesh_differences(
    before: OpenedSide, after: OpenedSide, requests: Iterable[ComparedRequest]
) -> list[MeshDifference]:
    """Return the differences between two meshes, for requests that the rules do not change."""
    groups: dict[tuple[Parts, Parts], list[tuple[ComparedRequest, str, str]]] = {}
    for request in requests:
        cases = request.before.case, request.after.case
        if request.is_changed or cases[0] is None or cases[1] is None:
            continue
        if before.mesh.explain_unproven(cases[0]) or after.mesh.explain_unproven(cases[1]):
            continue
        answers = _ask_both((before, cases[0]), (after, cases[1]))
        if not differs(*answers, _ALPHA):
            continue
        key = _list_distinct(*answers)
        groups.setdefault(key, []).append((request, _describe(answers[0]), _describe(answers[1])))
    return [_make_difference(before, after, group) for group in groups.values()]


def _make_difference(
    before: OpenedSide, after: OpenedSide, group: Sequence[tuple[ComparedRequest, str, str]]
) -> MeshDifference:
    """Return the difference that a group of requests shows."""
    smallest, before_text, after_text = min(group, key=lambda entry: entry[0].size)
    config = tuple(_list_config_places(before.mesh, after.mesh, smallest))
    requests = tuple(request for request, _, _ in group)
    return MeshDifference(smallest, requests, before_text, after_text, config)


def _ask_both(
    before: tuple[OpenedSide, Case], after: tuple[OpenedSide, Case]
) -> tuple[Counter[Parts], Counter[Parts]]:
    """Return what both meshes answer, and how often; asks more where answers vary."""
    counts: tuple[Counter[Parts], Counter[Parts]] = Counter(), Counter()
    for step in _STEPS:
        for (opened, case), count in zip((before, after), counts, strict=True):
            count.update(_ask(opened, case, step))
        if len(counts[0] | counts[1]) == 1:
            break
        if step == _STEPS[1] and not differs(*counts, _SUSPICION):
            break
    return counts


def _ask(opened: OpenedSide, case: Case, count: int) -> Iterator[Parts]:
    """Send the request of a case so often; yield the parts of each answer."""
    mesh = opened.mesh
    request, sender = opened.side.user_rules.build_request(case), mesh.sender(case)
    address = mesh.address(case.call)
    comparison = CaseComparison.for_case(case, mesh)
    for _ in range(count):
        (response,) = sender.send(address, [request.with_next_number()], 1, keep_alive=True)
        if isinstance(response, HttpResponse):
            yield tuple(_list_parts(comparison, response))
        else:
            yield (("no response", str(response.reason)),)


def _list_parts(comparison: CaseComparison, response: HttpResponse) -> Iterator[tuple[str, str]]:
    """Yield the parts of a response that meshes must have in common, by name."""
    markers = comparison.markers
    workload = response.headers.get(markers.served_by)
    yield "status", str(response.status)
    if workload is not None:
        yield "from", comparison.destinations.get(workload, workload)
    elif response.body:
        yield "body", response.text
    names = {markers.path: "path", markers.authority: "authority"}
    for header, value in sorted(response.headers.items()):
        if header in _IGNORED or header == markers.served_by:
            continue
        prefix = markers.request_header_prefix
        if header.startswith(prefix):
            yield f"arrived {header.removeprefix(prefix)}", value
        else:
            yield names.get(header) or f"came back {header}", value
    least = comparison.case.answer.min_seconds
    if least and response.seconds >= least:
        yield "delayed", "yes"


def _list_distinct(before: Counter[Parts], after: Counter[Parts]) -> tuple[Parts, Parts]:
    """Return the parts of the typical answers that differ: what a kind of difference is."""
    first = (before - after or before).most_common(1)[0][0]
    second = (after - before or after).most_common(1)[0][0]
    shared = set(first) & set(second)
    return (
        tuple(part for part in first if part not in shared),
        tuple(part for part in second if part not in shared),
    )


def _describe(answers: Counter[Parts]) -> str:
    """Return answers in words, with how often each came where there are several."""
    texts = [
        (", ".join(f"{name} {value}" for name, value in parts), count)
        for parts, count in answers.most_common(3)
    ]
    if len(texts) == 1:
        return texts[0][0]
    return "; ".join(f"{count} of {answers.total()}: {text}" for text, count in texts)


def _list_config_places(
    before: CaseMesh, after: CaseMesh, request: ComparedRequest
) -> Iterator[str]:
    """Yield the places of the config that differ at the proxy which takes a request.

    Those of its host come first.
    """
    cases = request.before.case, request.after.case
    if cases[0] is None or cases[1] is None:
        return
    old_values = before.read_config(cases[0].call)
    new_values = after.read_config(cases[1].call)
    if old_values is None or new_values is None:
        return
    host = request.call.host
    places = sorted(
        config_dump.list_differences(old_values, new_values),
        key=lambda place: (not any(host in key for key in place[0]), place[0][0] != "route"),
    )
    for place, former, latter in places[:_MAX_PLACES]:
        yield f"{' '.join(place[:2])} {'.'.join(place[2:])}: {former or '-'} -> {latter or '-'}"
    if len(places) > _MAX_PLACES:
        yield f"{len(places) - _MAX_PLACES} more places of the config differ"
