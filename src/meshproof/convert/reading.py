"""What is converted, and what stands beside it: checked for its form before anything is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproof import inventory
from meshproof.base.errors import BadRules
from meshproof.base.names import INGRESS_ANNOTATION
from meshproof.documents.manifest import Document, Value
from meshproof.lint import lint
from meshproof.lint.engine.lint_input import read_input as read_files
from meshproof.lint.shapes.identity import identify_document
from meshproof.rules.legacy import ingress

_GROUP = "config.istio.io"
KINDS = ("RouteRule", "DestinationPolicy", "EgressRule")
#: Findings that stand in the way: what has no form has no meaning either.
_FORM = ("MP01", "MP02")
#: But for these: that a kind is gone is why it is converted, that order is unspecified is noted.
_PASSED = ("MP0111", "MP0203", "MP0204", "MP0206", "MP0207", "MP0211")


@dataclass(frozen=True)
class Source:
    """The objects to convert, the others among them, and the text of every file by name."""

    legacy: list[Document]
    others: list[Document]
    texts: dict[str, str]

    @property
    def around(self) -> list[Document]:
        """Those of the others that say what the rules are about."""
        return [one for one in self.others if says_kind(one) and one.kind in inventory.KINDS]


def read(paths: Iterable[str]) -> Source:
    """Return what stands at `paths` (files, folders, `-` for standard input).

    Raises BadRules with every place where a legacy rule, or what may be one, is wrong in its form;
    for what cannot be read; and when there is no legacy rule.
    """
    given = list(paths)
    reading = read_files(given)
    suspects = [one for one in reading.documents if _may_be_legacy(one.root)]
    found = lint(suspects, unreadable=reading.unreadable)
    wrong = [one for one in found if one.code.startswith(_FORM) and one.code not in _PASSED]
    if wrong:
        raise BadRules("not converted:\n" + "\n".join(map(str, wrong)))
    legacy = [one for one in suspects if _kind(one.root) in KINDS]
    telling = [one for one in reading.documents if says_kind(one)]
    classes = ingress.classes(telling)
    legacy += [one for one in telling if ingress.handles(one, classes)]
    _check_others(suspects)
    if not legacy:
        raise BadRules(
            f"{', '.join(given)}: nothing to convert: no {', '.join(KINDS)} of {_GROUP} and no "
            f"Ingress with {INGRESS_ANNOTATION}: istio or a class of Istio's"
        )
    chosen = {id(one) for one in legacy}
    order = {id(one): index for index, one in enumerate(reading.documents)}
    others = [one for one in reading.documents if id(one) not in chosen]
    return Source(sorted(legacy, key=lambda one: order[id(one)]), others, reading.texts)


def _may_be_legacy(root: Value) -> bool:
    """Say whether a document is a legacy rule, looks like one, or does not say what it is."""
    content = root.mapping()
    version = content.get("apiVersion")
    if version is None or content.get("kind") is None:
        found = identify_document(root).kind
        return found is None or found.group == _GROUP
    return str(version.content).partition("/")[0] == _GROUP


def says_kind(document: Document) -> bool:
    """Say whether a document tells its kind and its version, so that both can be asked for."""
    content = document.root.mapping()
    return all(content.get(key) is not None for key in ("apiVersion", "kind"))


def _kind(root: Value) -> str:
    found = root.mapping().get("kind")
    return str(found.content) if found is not None else ""


def _check_others(suspects: Iterable[Document]) -> None:
    """Raise BadRules for a rule of the old group that nothing of today stands for."""
    for document in suspects:
        kind = _kind(document.root)
        if kind and kind not in KINDS and document.root.mapping().get("apiVersion") is not None:
            place = document.root.mapping()["kind"].at
            raise place.error(f"a {kind} of {_GROUP} is not converted: it is no rule of routing")
