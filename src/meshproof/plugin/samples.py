"""Samples of requests that are sent as a run's options say; all fixtures make theirs here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from meshproof.mesh.http import HttpRequest, StreamingSender
from meshproof.plugin import settings
from meshproof.plugin.evidence import get_evidence
from meshproof.plugin.run_context import RunContext, get_context
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.visits import Visits

if TYPE_CHECKING:
    import pytest

    from meshproof.mesh.http import Sender
    from meshproof.mesh.protocol import Address, Mesh

#: Requests in one batch for a sender that is not near.
BATCH = 50


def make_requests(path: str, headers: Iterable[Mapping[str, str]]) -> list[HttpRequest]:
    """Return a GET of `path` for each set of headers; one without headers if there is none."""
    requests = [HttpRequest(path, tuple(header.items())) for header in headers]
    return requests or [HttpRequest(path)]


def make_attribution(mesh: Mesh) -> Attribution:
    """Return what reads versions from the responses of a mesh's apps."""
    return Attribution({pod.name: pod.version for pod in mesh.replicas()}, mesh.start_counters)


def build_visits(
    request: pytest.FixtureRequest,
    address: Address,
    requests: Sequence[HttpRequest],
    sender: Sender | None = None,
    attribution: Attribution | None = None,
    workers: int = 0,
    batch: int = 0,
) -> Visits:
    """Return a lazy sample of requests that take turns, marked as those of the run.

    It is part of the evidence of the test that `request` is for.
    `sender` is by default this process. `workers` and `batch` are those of `Sampling`; with 0 the
    run's options and the sender decide.
    """
    context = get_context(request.config)
    visits = make_visits(context, address, requests, sender, attribution, workers, batch)
    get_evidence(request.node).samples.append(visits)
    return visits


def make_visits(
    context: RunContext,
    address: Address,
    requests: Sequence[HttpRequest],
    sender: Sender | None = None,
    attribution: Attribution | None = None,
    workers: int = 0,
    batch: int = 0,
) -> Visits:
    """Return such a sample, which is no evidence of any test yet."""
    sampling = settings.read_sampling(context.options)
    if not batch:
        is_near = sender is None or isinstance(sender, StreamingSender)
        batch = sampling.batch if is_near else BATCH
    return Visits(
        address,
        requests,
        context.run_id,
        replace(sampling, workers=workers or sampling.workers, batch=batch),
        context.report_progress,
        attribution,
        sender,
        context.phases,
    )
