"""Whether requests with one key stay on one pod, and those with others do not all go there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from meshproof.base.errors import pluralize
from meshproof.mesh.echo.listener import MarkerHeaders
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.oracle.conditions import Call
from meshproof.oracle.pod_keys import OTHER_KEYS, SAME_REQUESTS, PodKey
from meshproof.rules.model import PodHash
from meshproof.traffic.visits import Visits
from meshproof.user_rules.deviation import Deviation


class PodVisits:
    """The requests that show which pods a key picks, sent one after the other."""

    def __init__(self, pod_key: PodKey, markers: MarkerHeaders, visits: Visits) -> None:
        self._key = pod_key
        self._markers = markers
        self._visits = visits
        base = visits.requests[0]
        self.same = visits.send([base] * SAME_REQUESTS)
        self.others = visits.send(
            [
                _build_request(base, call, number if pod_key.pod_hash.kind == "source" else 0)
                for number, call in enumerate(pod_key.others, 1)
            ]
        )

    @property
    def all(self) -> list[HttpResponse]:
        """Every response."""
        return [*self.same, *self.others]

    def find_deviation(self) -> Deviation | None:
        """Return what is wrong with the pods that answered, or None."""
        expected = f"one pod for each of {SAME_REQUESTS} requests with one {self._key}"
        if deviation := self._find_stray(self.same, f"with one {self._key}", expected):
            return deviation
        pods = self._list_pods(self.all)
        if len(pods) == 1:
            return Deviation(
                f"one pod answered, whatever the {self._key} is",
                f"another pod for some of {OTHER_KEYS} other values",
                f"all of {pluralize(len(self.all), 'request')}: {pods[0]}",
            )
        return self._find_cookie_deviation(self._key.pod_hash)

    def _find_cookie_deviation(self, pod_hash: PodHash) -> Deviation | None:
        """Return what is wrong with the cookie that a proxy makes for a request without it."""
        if pod_hash.kind != "cookie" or pod_hash.ttl is None:
            return None
        without = _drop_cookie(self._visits.requests[0], pod_hash.name)
        (first,) = self._visits.send([without])
        set_cookie = first.headers.get("set-cookie", "")
        cookie_form = rf'(?:^|,\s*){re.escape(pod_hash.name)}="?([^";,]+)"?([^,]*)'
        made = re.search(cookie_form, set_cookie)
        expected = f"a cookie {pod_hash.name}{_describe_cookie(pod_hash)} for a request without it"
        observed = f"set-cookie: {set_cookie}" if set_cookie else "no set-cookie"
        if made is None:
            return Deviation(f"no cookie {pod_hash.name} came back", expected, observed)
        if not {part.strip() for part in made[2].split(";")}.issuperset(_list_attributes(pod_hash)):
            summary = f"the cookie {pod_hash.name} that came back is another"
            return Deviation(summary, expected, observed)
        cookie = f"{pod_hash.name}={made[1]}"
        present = [text for name, text in without.headers if name.lower() == "cookie"]
        others = tuple(pair for pair in without.headers if pair[0].lower() != "cookie")
        headers = (*others, ("cookie", "; ".join([*present, cookie])))
        again = self._visits.send([replace(without, headers=headers)] * SAME_REQUESTS)
        expected = f"the pod that answered the first request for all with its {cookie}"
        return self._find_stray([first, *again], f"with the cookie {cookie} of the mesh", expected)

    def _find_stray(
        self, visits: Sequence[HttpResponse], which: str, expected: str
    ) -> Deviation | None:
        """Return what is wrong with responses that must all be of one pod, or None."""
        pods = self._list_pods(visits)
        if len(pods) == 1:
            return None
        summary = f"{len(pods)} pods answered requests {which}"
        observed = f"{pluralize(len(visits), 'request')}: {', '.join(pods)}"
        return Deviation(summary, expected, observed)

    def _list_pods(self, visits: Sequence[HttpResponse]) -> list[str]:
        """Return the pods that answered, each once, in order."""
        markers = self._markers
        names = (
            f"{visit.headers.get(markers.served_by)} pod {visit.headers.get(markers.pod)}"
            for visit in visits
        )
        return sorted(set(names))


def _build_request(base: HttpRequest, call: Call, client: int) -> HttpRequest:
    """Return the request of a call that differs from that of `base` in path and headers alone."""
    host = (pair for pair in base.headers if pair[0] == "Host")
    return replace(base, path=call.request_target, headers=(*host, *call.headers), client=client)


def _drop_cookie(request: HttpRequest, name: str) -> HttpRequest:
    """Return a request without one of its cookies."""
    headers = []
    for header, value in request.headers:
        if header.lower() == "cookie":
            cookies = [part for part in value.split("; ") if not part.startswith(f"{name}=")]
            headers += [(header, "; ".join(cookies))] if cookies else []
        else:
            headers.append((header, value))
    return replace(request, headers=tuple(headers))


def _list_attributes(pod_hash: PodHash) -> list[str]:
    """Return what a cookie that a proxy makes must say of its life and its path."""
    life = [f"Max-Age={pod_hash.ttl:.0f}"] if pod_hash.ttl else []
    return life + ([f"Path={pod_hash.cookie_path}"] if pod_hash.cookie_path else [])


def _describe_cookie(pod_hash: PodHash) -> str:
    return "".join(f"; {part}" for part in _list_attributes(pod_hash))
