"""Checks legacy DestinationPolicy objects (config.istio.io/v1alpha2, Istio 0.2 to 0.8).

They say how a service is called, not who answers: the routing model has nothing of them.
Source: routing/v1alpha1/destination_policy.proto of that time.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshproof.documents.manifest import Document
from meshproof.documents.problems import CheckedDocument, read_each
from meshproof.rules.legacy.route_rule import API_VERSION
from meshproof.rules.model import RuleSet

KIND = "DestinationPolicy"


def handles(document: Document) -> bool:
    """Say whether this reader knows the document's group, version and kind."""
    return document.api_version == API_VERSION and document.kind == KIND


def read_rules(documents: Iterable[CheckedDocument]) -> RuleSet:
    """Check policies and return no rule: they do not change who answers.

    Two policies of one destination are a problem: which one applies is not specified.
    """
    first_by_key: dict[object, Document] = {}

    def check_policy(checked: CheckedDocument) -> None:
        document = checked.document
        first = first_by_key.setdefault(_policy_key(document), document)
        if first is not document:
            raise document.at.error(
                f"a second policy for what the one at {first.at} is for; which holds is not "
                "specified"
            )

    read_each(documents, check_policy)
    return RuleSet()


def _policy_key(document: Document) -> object:
    """Return a key that is equal for two policies of the same destination and source."""
    spec = document.spec
    return document.namespace, *(
        str(sorted(service.to_python().items(), key=str)) if service is not None else ""
        for service in (spec.need("destination"), spec.get("source"))
        if service is None or service.mapping() is not None
    )
