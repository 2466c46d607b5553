"""Sends requests from this process, over kept-alive or fresh connections."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from meshproof.mesh.http import HttpRequest, HttpResponse, LossReason, NoResponse
from meshproof.mesh.protocol import Address

if TYPE_CHECKING:
    import urllib3

#: Headers that urllib3 adds by itself.
_URLLIB3_HEADERS = ("accept-encoding", "user-agent")
#: The most idle connections that are kept for one address and client.
_MAX_IDLE = 128


class LocalSender:
    """Sends from this process; see `meshproof.mesh.http.Sender`.

    Client number N has the source address 127.0.0.(N + 1), for meshes that keep a client with one
    version; loopback has more than one address on Linux only.
    """

    sends_whole_batches = False

    def __init__(self) -> None:
        self._pools: dict[tuple[Address, int], urllib3.HTTPConnectionPool] = {}

    def send(
        self, address: Address, requests: Sequence[HttpRequest], workers: int, keep_alive: bool
    ) -> list[HttpResponse | NoResponse]:
        """Send requests once, `workers` at a time; return each outcome, in send order."""
        if len(requests) == 1:
            return [self._exchange(address, requests[0], keep_alive)]
        with ThreadPoolExecutor(workers) as executor:
            return list(
                executor.map(lambda request: self._exchange(address, request, keep_alive), requests)
            )

    def describe_command(self, curl: str) -> str:
        """Return the command line as it is."""
        return curl

    def close(self) -> None:
        """Close the idle connections."""
        for pool in self._pools.values():
            pool.close()

    def _exchange(
        self, address: Address, request: HttpRequest, keep_alive: bool
    ) -> HttpResponse | NoResponse:
        """Send one request; return what became of it."""
        import urllib3
        from urllib3.util import SKIP_HEADER

        pool = self._choose_pool(address, request.client, keep_alive)
        headers = dict(request.headers)
        headers |= {
            name: SKIP_HEADER for name in request.omitted_headers if name in _URLLIB3_HEADERS
        }
        if not keep_alive:
            headers["connection"] = "close"
        start = time.monotonic()
        try:
            response = pool.request(
                request.method,
                request.path,
                headers=headers,
                redirect=False,
                timeout=request.max_seconds,
            )
        except urllib3.exceptions.HTTPError as error:
            return NoResponse(_find_reason(error), str(error))
        finally:
            if not keep_alive:
                pool.close()
        seconds = time.monotonic() - start
        response_headers = {name.lower(): value for name, value in response.headers.itermerged()}
        return HttpResponse(request, response.status, response_headers, response.data, seconds)

    def _choose_pool(
        self, address: Address, client: int, keep_alive: bool
    ) -> urllib3.HTTPConnectionPool:
        """Return the connections of a client."""
        if not keep_alive:
            # A server may close a connection without notice: a fresh one is never handed back.
            return _open_pool(address, client)
        key = address, client
        if key not in self._pools:
            self._pools.setdefault(key, _open_pool(address, client))
        return self._pools[key]


def _open_pool(address: Address, client: int) -> urllib3.HTTPConnectionPool:
    """Open connections from the source address of a client (0 is the default address)."""
    import urllib3

    source: dict[str, Any] = {"source_address": (f"127.0.0.{client + 1}", 0)} if client else {}
    if tls := address.tls_client:
        return urllib3.HTTPSConnectionPool(
            address.host,
            address.port,
            maxsize=_MAX_IDLE,
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(tls.ca),
            cert_file=str(tls.certificate) if tls.certificate else None,
            key_file=str(tls.key) if tls.key else None,
            server_hostname=tls.name,
            **source,
        )
    return urllib3.HTTPConnectionPool(
        address.host, address.port, maxsize=_MAX_IDLE, retries=False, **source
    )


def _find_reason(error: urllib3.exceptions.HTTPError) -> LossReason:
    """Return why a request got no response."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        is_unverified = any(isinstance(part, ssl.CertificateError) for part in error.args)
        return LossReason.WRONG_CERTIFICATE if is_unverified else LossReason.NO_TLS
    if isinstance(error, exceptions.NameResolutionError):
        return LossReason.UNKNOWN_HOST
    if isinstance(error, exceptions.NewConnectionError):  # a TimeoutError of urllib3, too
        is_refusal = isinstance(error.__cause__, ConnectionRefusedError)
        return LossReason.REFUSED if is_refusal else LossReason.UNREACHABLE
    if isinstance(error, exceptions.TimeoutError):
        return LossReason.LATE
    return LossReason.ENDED
