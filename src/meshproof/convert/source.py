"""Reads the objects to convert and all others, and checks the form of legacy rules first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meshproof import inventory
from meshproof.base.errors import BadRules
from meshproof.base.names import INGRESS_ANNOTATION
from meshproof.documents.contents import Contents, sort_contents, summarize_left_out
from meshproof.documents.form.identity import identify_document
from meshproof.documents.manifest import Document, Value
from meshproof.documents.sources import read_sources as read_files
from meshproof.lint import lint
from meshproof.rules.legacy import ingress

_GROUP = "config.istio.io"
KINDS = ("RouteRule", "DestinationPolicy", "EgressRule")
#: Lint findings about the form of a rule: a rule without a valid form cannot be converted.
_FORM_CODES = ("MP01", "MP02")
#: Exceptions: a removed kind is the reason to convert, an unspecified order is noted.
_ACCEPTED_CODES = ("MP0111", "MP0203", "MP0204", "MP0206", "MP0207", "MP0211")


@dataclass(frozen=True)
class Source:
    """The objects to convert, the unconverted ones, and the text of every file by name.

    `notes` say what of the files takes no part.
    """

    legacy: list[Document]
    unconverted: list[Document]
    texts: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def inventory_documents(self) -> list[Document]:
        """The unconverted objects that tell about services of the rules."""
        return [
            document
            for document in self.unconverted
            if has_kind_and_version(document) and document.kind in inventory.INVENTORY_KINDS
        ]


def read_source(paths: Iterable[str]) -> Source:
    """Read the objects at `paths` (files, folders, `-` for standard input).

    Raises BadRules with every place where a legacy rule, or what may be one, has a wrong form; for
    files that cannot be read; and when there is no legacy rule.
    """
    path_list = list(paths)
    sources = read_files(path_list)
    suspects = [document for document in sources.documents if _may_be_legacy(document.root)]
    findings = lint(suspects, unreadable=sources.unreadable)
    form_faults = [
        finding
        for finding in findings
        if finding.code.startswith(_FORM_CODES) and finding.code not in _ACCEPTED_CODES
    ]
    if form_faults:
        raise BadRules("not converted:\n" + "\n".join(map(str, form_faults)))
    legacy = [document for document in suspects if _read_kind(document.root) in KINDS]
    typed_documents = [document for document in sources.documents if has_kind_and_version(document)]
    classes = ingress.find_istio_classes(typed_documents)
    legacy += [document for document in typed_documents if ingress.handles(document, classes)]
    _check_convertible(suspects)
    if not legacy:
        raise BadRules(
            f"{', '.join(path_list)}: nothing to convert: no {', '.join(KINDS)} of {_GROUP} and no "
            f"Ingress with {INGRESS_ANNOTATION}: istio or a class of Istio's"
        )
    converted_ids = {id(document) for document in legacy}
    order = {id(document): index for index, document in enumerate(sources.documents)}
    unconverted = [document for document in sources.documents if id(document) not in converted_ids]
    # YAML counts a CR alone as a line break, too: lines and columns stay as they are.
    texts = {
        file: text.replace("\r\n", "\n").replace("\r", "\n") for file, text in sources.texts.items()
    }
    legacy.sort(key=lambda document: order[id(document)])
    return Source(legacy, unconverted, texts, tuple(_describe_rest(sort_contents(sources))))


def _describe_rest(contents: Contents) -> Iterator[str]:
    """Yield what is left out, by kind, and what would have to be rendered first."""
    if contents.left_out:
        yield f"left out: {', '.join(summarize_left_out(contents.left_out))}"
    for unserved in contents.unserved:
        if unserved.document is None:
            yield f"{unserved.at}: {unserved.name} is not converted: {unserved.reason}"


def _may_be_legacy(root: Value) -> bool:
    """Say whether a document is a legacy rule, looks like one, or does not say what it is."""
    content = root.mapping()
    version = content.get("apiVersion")
    if version is None or content.get("kind") is None:
        kind = identify_document(root).kind
        return kind is None or kind.group == _GROUP
    return str(version.content).partition("/")[0] == _GROUP


def has_kind_and_version(document: Document) -> bool:
    """Say whether a document has both `kind` and `apiVersion`."""
    content = document.root.mapping()
    return all(content.get(key) is not None for key in ("apiVersion", "kind"))


def _read_kind(root: Value) -> str:
    """Return the kind of a document, empty if it has none."""
    kind = root.mapping().get("kind")
    return str(kind.content) if kind is not None else ""


def _check_convertible(suspects: Iterable[Document]) -> None:
    """Raise BadRules for a kind of the legacy group that has no successor."""
    for document in suspects:
        kind = _read_kind(document.root)
        if kind and kind not in KINDS and document.root.mapping().get("apiVersion") is not None:
            at = document.root.mapping()["kind"].at
            raise at.error(f"a {kind} of {_GROUP} is not converted: it is no rule of routing")
