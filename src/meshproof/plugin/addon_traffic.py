"""Our own traffic in addons: sent once early in the run, looked for in all addons side by side.

Proxies send their spans to one addon at a time. So the first addon that takes spans shares its
requests with those that take none, and each further one gets requests of its own after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshproof.base import timeouts
from meshproof.base.errors import MeshproofError, NotReady
from meshproof.base.names import RUN_HEADER, TRACE_HEADER
from meshproof.base.waiting import wait_for
from meshproof.mesh.addons import AddonEvidence, needs_spans

if TYPE_CHECKING:
    import pytest

    from meshproof.mesh.addons import Addon
    from meshproof.mesh.http import HttpResponse
    from meshproof.mesh.protocol import AddonSet, Mesh
    from meshproof.traffic.visits import Visits

#: How many requests an addon must hold.
VISITS = 20
#: Addons are asked again after so many seconds at the earliest, and after so many times the
#: duration of the last try: one whose URL hangs must not delay each test.
PAUSE = 1.0
PAUSE_FACTOR = 4.0


@dataclass(frozen=True)
class AddonReport:
    """What was sent for an addon, and what it shows of that.

    `expected` is the least count that proves our requests, `failures` are the responses to them
    that are no page. `visits` is the sample for the first addon that shares it, None for others.
    """

    url: str
    expected: int
    evidence: AddonEvidence
    failures: tuple[HttpResponse, ...]
    visits: Visits | None


@dataclass
class _Share:
    """Addons that share their requests: once these are sent, what is known of each addon.

    With `is_left_to_look` something went wrong: the rest is done once a test asks.
    """

    names: Sequence[str]
    tag: str = ""
    is_left_to_look: bool = False
    visits: Visits | None = None
    failures: tuple[HttpResponse, ...] = ()
    baselines: dict[str, int] = field(default_factory=dict)
    reports: dict[str, AddonReport] = field(default_factory=dict)
    errors: dict[str, MeshproofError] = field(default_factory=dict)

    @property
    def span_receiver(self) -> str:
        """The addon of them that takes spans, or an empty string."""
        return next((name for name in self.names if needs_spans(name)), "")

    @property
    def is_looked_for(self) -> bool:
        """Whether each addon was asked to the end."""
        return self.reports.keys() | self.errors.keys() >= set(self.names)


class AddonTraffic:
    """The requests of one run for its addons `names`. `send` sends VISITS requests with a tag."""

    def __init__(
        self, addons: AddonSet, names: Sequence[str], send: Callable[[str], Visits]
    ) -> None:
        self._addons = addons
        self._send = send
        available = [name for name in names if addons.find_lack(name) is None]
        self._shares = [_Share(group) for group in group_addons(available)]
        self._next_try = 0.0

    def advance(self) -> None:
        """Send what can be sent now; raise no error of an addon.

        Call it while the mesh serves no rules of a test. It does not wait for an addon to start,
        only for the proxies to send their spans to one. What goes wrong is tried once more, and
        raised, when a test asks for the addon.
        """
        began = time.monotonic()
        if began < self._next_try:
            return
        for share in self._shares:
            if not self._advance_share(share):
                break  # spans of this share would go to the next one's addon
        ended = time.monotonic()
        self._next_try = ended + max(PAUSE, PAUSE_FACTOR * (ended - began))

    def _advance_share(self, share: _Share) -> bool:
        """Send the requests of a share if they can be sent; say whether the next share may go."""
        if share.is_looked_for or share.is_left_to_look:
            return share.is_looked_for
        try:
            if not share.tag:
                try:
                    addons = {name: self._addons.get_ready(name, 0) for name in share.names}
                except NotReady:
                    return False
                self._begin(share, addons)
                # A fixture of a wider scope may serve rules of its own, such as a fault.
                share.is_left_to_look = bool(share.failures)
            is_last = share is self._shares[-1]
            return not share.is_left_to_look and not is_last and self._are_spans_there(share)
        except MeshproofError:
            share.is_left_to_look = True
            return False

    def look(self, name: str) -> AddonReport:
        """Return what an addon shows of our requests, once it holds them or its time is over.

        Raises NotReady for an addon that does not answer.
        """
        for share in self._shares:
            if not share.is_looked_for:
                self._look_for_share(share)
            if name in share.names:
                break
        if name in share.errors:
            raise share.errors[name]
        return share.reports[name]

    def _begin(self, share: _Share, addons: Mapping[str, Addon]) -> None:
        """Send the requests of a share for those of its addons that answer."""
        receiver = share.span_receiver
        if receiver in addons:
            self._addons.receive_spans(receiver)
        baselines = {name: addon.read_baseline() for name, addon in addons.items()}
        tag = make_tag()
        visits = self._send(tag)
        responses = visits.take(VISITS)
        share.failures = tuple(response for response in responses if response.status != 200)
        share.tag, share.visits, share.baselines = tag, visits, baselines

    def _are_spans_there(self, share: _Share) -> bool:
        """Say whether the addon that takes a share's spans has got all of them."""
        name = share.span_receiver
        return not name or self._addons.get_ready(name, 0).read_evidence(share.tag).count >= VISITS

    def _look_for_share(self, share: _Share) -> None:
        """Look for the requests of a share in each of its addons until each has ended."""
        addons = self._find_answering(share)
        if addons and (share.failures or not share.tag):
            try:
                self._begin(share, addons)
            except MeshproofError as error:
                share.errors.update(dict.fromkeys(addons, error))
                return
        searches = {}
        for name, addon in addons.items():
            try:
                searches[name] = _Search(addon, share.tag, share.baselines.get(name, 0))
            except MeshproofError as error:
                share.errors[name] = error
        _search_all(searches, share.errors)
        visits = share.visits
        for name, search in searches.items():
            if name in share.errors:
                continue
            share.reports[name] = AddonReport(
                search.url, search.expected, search.evidence, share.failures, visits
            )
            visits = None

    def _find_answering(self, share: _Share) -> dict[str, Addon]:
        """Return the addons of a share once they answer; note the errors of the others."""
        addons = {}
        for name in share.names:
            try:
                addons[name] = self._addons.get_ready(name)
            except MeshproofError as error:
                share.errors[name] = error
        return addons


class _Search:
    """The search for our requests in one addon that answers, with a deadline of its own.

    The addon must hold all that the proxies have counted by now: with a count of the beginning it
    could make up for our requests with those of later tests.
    """

    def __init__(self, addon: Addon, tag: str, baseline: int) -> None:
        self._addon, self._tag = addon, tag
        self.url = addon.url
        self.expected = max(addon.read_baseline(), baseline + VISITS)
        self._deadline = time.monotonic() + addon.evidence_timeout
        self.evidence = AddonEvidence(0, "nothing")

    def look(self) -> bool:
        """Read the addon once; say whether the search has ended."""
        is_last = time.monotonic() >= self._deadline
        self.evidence = self._addon.read_evidence(self._tag)
        return is_last or self.evidence.count >= self.expected


def _search_all(searches: dict[str, _Search], errors: dict[str, MeshproofError]) -> None:
    """Look into all addons in turn until each search has ended; note the errors by name."""
    pending = dict(searches)

    def look() -> bool | None:
        for name, search in list(pending.items()):
            try:
                has_ended = search.look()
            except MeshproofError as error:
                errors[name], has_ended = error, True
            if has_ended:
                del pending[name]
        return None if pending else True

    # Each search ends by itself; an addon that hangs in its last answer gets the time for that.
    wait_for(look, float("inf"), lambda: "", timeouts.POLL_SLOW)


def group_addons(names: Sequence[str]) -> list[list[str]]:
    """Return groups of addons that can share requests: no two of a group take spans."""
    first = [name for name in names if not needs_spans(name)]
    groups = [[name] for name in names if needs_spans(name)] or [[]]
    groups[0] = [*first, *groups[0]]
    return [group for group in groups if group]


def make_tag() -> str:
    """Return a new value for the header x-meshproof-run, used by no other request."""
    import secrets

    return f"check-{secrets.token_hex(8)}"


def start_addon_traffic(config: pytest.Config, mesh: Mesh) -> AddonTraffic:
    """Return the traffic for the addons that the run's tests ask for; nothing is sent yet."""
    from meshproof.plugin import samples
    from meshproof.plugin.run_context import get_context

    context = get_context(config)

    def send(tag: str) -> Visits:
        headers = {RUN_HEADER: tag, TRACE_HEADER: tag}
        requests = samples.make_requests("/productpage", [headers])
        return samples.make_visits(context, mesh.address("ingress"), requests)

    context.addon_traffic = AddonTraffic(mesh.addons, context.addons, send)
    return context.addon_traffic
