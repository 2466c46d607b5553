"""A small client of the run's own API server: create, replace, delete and look.

Source: Kubernetes API reference, "API concepts" (server-side apply, resource URIs).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshproof.base import timeouts
from meshproof.base.errors import NotReady
from meshproof.mesh.istiod.definitions import GATEWAY_API_KINDS, KINDS

Object = dict[str, Any]
_MANAGER = "meshproof"
#: A server closes a connection that is idle for long: it is used again only this soon.
_MAX_IDLE_SECONDS = 5.0
_PLURALS = {**KINDS, **GATEWAY_API_KINDS, "": {"Service": "services", "Secret": "secrets"}}


class Refused(Exception):
    """The API server, or istiod's webhook behind it, refused an object; its own words."""


@dataclass(frozen=True)
class ApiClient:
    """The address of the API server, the CA of its certificate and the token of an admin."""

    port: int
    ca: Path
    token: str
    #: Is called where the server does not answer, and may raise what is known of it.
    explain_silence: Callable[[], None] = lambda: None
    _idle: deque[tuple[float, http.client.HTTPSConnection]] = field(
        default_factory=deque, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Have the connections closed once nobody uses the client any more."""
        weakref.finalize(self, _close_all, self._idle)

    def is_ready(self) -> bool:
        """Say whether the server answers that it is ready."""
        try:
            return self._exchange("GET", "/readyz")[0] == 200
        except NotReady:
            return False

    def create(self, path: str, body: Object) -> Object:
        """Create an object below `path`; one that is there already is no error."""
        status, answer = self._exchange("POST", path, body)
        if status not in (200, 201, 409):
            raise NotReady(f"the run's API server refuses {path}: {_find_message(answer)}")
        return answer

    def get(self, path: str) -> Object:
        """Return what is at a path. Raises NotReady if it is not there."""
        status, answer = self._exchange("GET", path)
        if status != 200:
            raise NotReady(f"the run's API server has no {path}: {_find_message(answer)}")
        return answer

    def apply(self, body: Object) -> str:
        """Create or replace an object; return its resource version.

        Raises Refused, and NotReady where the server cannot do its work.
        """
        path = make_path(body)
        query = f"?fieldManager={_MANAGER}&force=true"
        status, answer = self._exchange("PATCH", path + query, body)
        if status not in (200, 201):
            raise self._explain(status, answer)
        return str(answer["metadata"]["resourceVersion"])

    def delete(self, body: Object) -> None:
        """Delete an object; one that is gone is no error. Raises what `apply` raises."""
        status, answer = self._exchange("DELETE", make_path(body))
        if status not in (200, 202, 404):
            raise self._explain(status, answer)

    def _explain(self, status: int, answer: Object) -> Refused | NotReady:
        """Return the error that a status is: a 5xx says nothing of the object.

        The server gives it where etcd or the webhook does not answer. What is known of these is
        raised at once.
        """
        if status < 500:
            return Refused(_find_message(answer))
        self.explain_silence()
        return NotReady(f"the run's API server answers {status}: {_find_message(answer)}")

    def _exchange(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object]:
        """Send a request; return status and answer. Raises NotReady if there is none."""
        patch = "application/apply-patch+yaml"
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": patch if method == "PATCH" else "application/json",
        }
        connection = self._take_connection()
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            answer = _read_object(response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if not isinstance(error, ConnectionRefusedError):  # it may not have begun to listen
                self.explain_silence()
            raise NotReady(f"the run's API server does not answer: {error}") from None
        self._idle.append((time.monotonic(), connection))
        return response.status, answer

    def _take_connection(self) -> http.client.HTTPSConnection:
        """Return a connection that was used just now, else a new one."""
        with contextlib.suppress(IndexError):
            while True:
                last_use, connection = self._idle.pop()
                if time.monotonic() - last_use < _MAX_IDLE_SECONDS:
                    return connection
                connection.close()
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=timeouts.REQUEST, context=self._tls
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """What the certificate of the server is held against."""
        return ssl.create_default_context(cafile=str(self.ca))


def _close_all(idle: Iterable[tuple[float, http.client.HTTPSConnection]]) -> None:
    """Close connections."""
    for _, connection in idle:
        connection.close()


def _read_object(content: bytes) -> Object:
    """Return the JSON object of an answer; an answer that is none is its message."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": content.decode(errors="replace")}


def _find_message(answer: Object) -> str:
    """Return the server's own words in an answer."""
    return str(answer.get("message") or answer)


def make_path(body: Object) -> str:
    """Return the path of an object of a kind that a run has."""
    group, _, version = body["apiVersion"].rpartition("/")
    metadata = body["metadata"]
    plural = _PLURALS[group][body["kind"]]
    root = f"/apis/{group}" if group else "/api"
    return (
        f"{root}/{version}/namespaces/{quote(metadata['namespace'], safe='')}/{plural}/"
        f"{quote(metadata['name'], safe='')}"
    )
