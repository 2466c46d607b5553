"""Faults in what sidecars accept."""

from __future__ import annotations

import pytest

from meshproof.mesh.envoy import listeners, translate
from meshproof.mesh.envoy.certificates import Identity
from meshproof.mesh.envoy.envoy import Resource
from meshproof.mesh.envoy.translate import Endpoint, Snapshot
from tests.faults.planting import fault


@fault(
    "STRICT asked but plaintext accepted",
    "-k=mtls or productpage",
    failed={
        "mtls strict": r"STRICT is declared, but plaintext was answered by productpage-v1-0 \(200\)"
    },
)
def accepts_plaintext(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Snapshot, "resolve_mtls", lambda snapshot, pod: "PERMISSIVE")


@fault(
    "PERMISSIVE declared but plaintext refused",
    "-k=declared",
    failed={"mtls as declared": "PERMISSIVE is declared, but not so at: productpage-v1-0"},
)
def refuses_plaintext(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Snapshot, "resolve_mtls", lambda snapshot, pod: "STRICT")


@fault(
    "STRICT that takes TLS without a client certificate",
    "-k=mtls or productpage",
    failed={
        "mtls strict": r"STRICT is declared, but TLS without a client certificate was answered by "
        r"productpage-v1-0 \(200\)"
    },
)
def accepts_anonymous_tls(patch: pytest.MonkeyPatch) -> None:
    make_server_tls = listeners._make_server_tls

    def make_lenient_tls(identity: Identity) -> Resource:
        transport = make_server_tls(identity)
        transport["typed_config"]["require_client_certificate"] = False
        return transport

    patch.setattr(listeners, "_make_server_tls", make_lenient_tls)


def call_in_plaintext(patch: pytest.MonkeyPatch, service: str) -> None:
    """Let every sidecar call a service without TLS, which a STRICT policy refuses."""
    translate_endpoint = translate._translate_endpoint

    def forget_tls(snapshot: Snapshot, endpoint: Endpoint) -> Resource:
        resource = translate_endpoint(snapshot, endpoint)
        return resource | {"metadata": {}} if endpoint.pod.name.startswith(service) else resource

    patch.setattr(translate, "_translate_endpoint", forget_tls)


@fault(
    "STRICT that takes the reviews off the page",
    "-k=mtls or productpage",
    failed={
        "mtls strict": "STRICT stops the mesh itself: 20 of 20 visits got HTTP 200 without reviews"
    },
)
def reviews_called_in_plaintext(patch: pytest.MonkeyPatch) -> None:
    call_in_plaintext(patch, "reviews")


@fault(
    "STRICT that takes the details off the page",
    "-k=mtls or productpage",
    failed={
        "mtls strict": "STRICT stops the mesh itself: 20 of 20 visits got HTTP 200 without details"
    },
)
def details_called_in_plaintext(patch: pytest.MonkeyPatch) -> None:
    call_in_plaintext(patch, "details")
