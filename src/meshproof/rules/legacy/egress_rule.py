"""Checks legacy EgressRule objects (config.istio.io/v1alpha2, Istio 0.3 to 0.8).

They let requests out of the mesh; the routing model does not say who answers there.
Source: routing/v1alpha1/egress_rule.proto of that time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshproof.documents.manifest import Document
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.rules.legacy.route_rule import API_VERSION
from meshproof.rules.model import RuleSet

KIND = "EgressRule"

PROTOCOLS = ("http", "https", "http2", "grpc", "tcp", "mongo", "redis")
#: An IPv4 address, or a range of them (CIDR): for TCP only.
ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?")


def is_single_name(host: str) -> bool:
    """Say whether a host is a single name: no wildcard and no address."""
    return not host.startswith("*") and ADDRESS.fullmatch(host) is None


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == KIND


def read_rules(documents: Iterable[CheckedDocument]) -> RuleSet:
    """Check rules and return none: they route nothing inside the mesh.

    Two rules of one host are a problem.
    """
    first_by_host: dict[str, Document] = {}

    def check_document(checked: CheckedDocument) -> None:
        document = checked.document
        check_rule(document)
        host = document.spec.need("destination").need("service")
        first = first_by_host.setdefault(host.text(), document)
        if first is not document:
            raise host.at.error(f"a second rule for '{host.text()}', which has one at {first.at}")

    read_each(documents, check_document)
    return RuleSet()


def check_rule(document: Document) -> None:
    """Check one rule. Raises BadRules with file and line for wrong values."""
    spec = document.spec
    destination, ports = spec.need("destination"), spec.need("ports")
    destination.need("service").non_empty_text()
    if not ports.items():
        raise ports.lacks("at least one port")
    for port in ports.items():
        port.need("port").integer(1, 65535)
        protocol = port.need("protocol")
        if protocol.text().lower() not in PROTOCOLS:
            protocol.choice(*PROTOCOLS)
