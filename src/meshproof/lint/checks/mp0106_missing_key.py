"""Key missing."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.documents.form.defect import DefectKind
from meshproof.documents.lookup import find_values, locate_spec, read_spec, read_text
from meshproof.lint.engine.finding import Hit, Level
from meshproof.lint.engine.project import Project

CODE = "MP0106"


def check(project: Project) -> Iterator[Hit]:
    """Report each key that is needed and absent."""
    for defect in project.find_defects(DefectKind.MISSING_KEY):
        subject = defect.path or "the document"
        yield Hit(defect.at, f"{subject}: '{defect.actual}' is missing", defect.repair)
    delegates = _list_delegates(project)
    for document in project.named_documents("VirtualService"):
        spec = read_spec(document)
        name = (document.namespace, document.name)
        if (
            spec is not None
            and name not in delegates
            and project.lacks_keys(document, spec, "hosts")
        ):
            yield Hit(
                locate_spec(document),
                f"spec: 'hosts' is missing, and no VirtualService here delegates to {name[1]}",
                "hosts: [the service's name]",
                # A part that a rule elsewhere may delegate to. Istio refuses it with gateways.
                None if find_values(spec, "gateways") else Level.WARNING,
            )
    yield from _check_port_policies(project)
    for document in project.documents_of_kind("RouteRule", "DestinationPolicy"):
        for destination in find_values(read_spec(document), "destination"):
            if project.lacks_keys(document, destination, "name", "service"):
                at = document.spec.keys.get("destination", destination.at)
                yield Hit(at, "spec.destination: 'name' is missing", "name: the service's name")


def _check_port_policies(project: Project) -> Iterator[Hit]:
    """Yield a hit for each policy of a port that names no port: istiod refuses the rule."""
    for document in project.documents_of_kind("DestinationRule"):
        spec = read_spec(document)
        for path in (("trafficPolicy",), ("subsets", "trafficPolicy")):
            for policy in find_values(spec, *path, "portLevelSettings"):
                if project.lacks_keys(document, policy, "port"):
                    message = f"{policy.path}: 'port' is missing: istiod refuses the rule"
                    yield Hit(policy.at, message, "port: {number: the port of the service}")


def _list_delegates(project: Project) -> set[tuple[str, str]]:
    """Return namespace and name of every VirtualService that another one delegates to."""
    return {
        (
            read_text(delegate.get("namespace")) or document.namespace,
            read_text(delegate.get("name")),
        )
        for document in project.named_documents("VirtualService")
        for delegate in find_values(read_spec(document), "http", "delegate")
        if isinstance(delegate.content, dict)
    }
