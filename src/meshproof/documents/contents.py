"""Sorts what was read of files and folders: what counts, what is left out and why, what is at odds.

A folder of a real repository holds more than rules. Nothing in it vanishes without a word, and
nothing but a rule ends a run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from os.path import normpath, realpath
from pathlib import PurePath

from meshproof.base.errors import BadRules, suggest_nearest
from meshproof.documents.kinds import (
    POD_MAKERS,
    Role,
    explain_unserved,
    find_role,
    is_mesh_kind,
    suggest_kind,
)
from meshproof.documents.lookup import find_values, read_labels, read_text
from meshproof.documents.manifest import At, Document, Value
from meshproof.documents.sources import (
    KUSTOMIZATION_FILES,
    REPEATED_KEY,
    SourceFiles,
    Template,
    Unreadable,
    read_sources,
)

_CHART_FILES = re.compile(r"Chart\.ya?ml|Chart\.lock|values[-.\w]*\.ya?ml|requirements\.ya?ml")
_KUSTOMIZE_GROUP = "kustomize.config.k8s.io"
#: What of a kustomization makes other objects than those of its files, or takes objects from afar.
_KUSTOMIZE_CHANGES = (
    *("commonLabels", "components", "generators", "helmCharts", "labels", "namePrefix"),
    *("nameSuffix", "namespace", "patches", "patchesJson6902", "patchesStrategicMerge"),
    *("replacements", "replicas", "transformers", "vars"),
)
_REMOTE = re.compile(r"://|\?ref=|^github\.com/|^git@")
_WORKLOADS = (*POD_MAKERS, "Pod")
_ROOT_NAMESPACE = "istio-system"


_POD_SELECTORS = (
    ("selector", "matchLabels"),
    ("workloadSelector", "labels"),
    ("podSelector", "matchLabels"),
)


class Reason(StrEnum):
    """Why something of a folder is left out, as reports say it of one."""

    NO_EFFECT = "object that routes nothing"
    CHART_FILE = "file of a Helm chart"
    KUSTOMIZATION = "kustomization"
    PATCH = "kustomize patch"
    NO_OBJECT = "document that is no Kubernetes object"
    TEMPLATE = "template of other objects"
    COPY = "copy of an object"
    OTHER_FILE = "other file"
    HIDDEN_FOLDER = "hidden folder"

    @property
    def plural(self) -> str:
        """The reason, as reports say it of several."""
        return {
            Reason.NO_EFFECT: "objects that route nothing",
            Reason.CHART_FILE: "files of Helm charts",
            Reason.PATCH: "kustomize patches",
            Reason.NO_OBJECT: "documents that are no Kubernetes objects",
            Reason.TEMPLATE: "templates of other objects",
            Reason.COPY: "copies of objects",
        }.get(self, f"{self}s")


@dataclass(frozen=True)
class LeftOut:
    """What is in the files and takes no part: its place, why, and what it is (a kind, a suffix)."""

    at: At
    reason: Reason
    what: str


@dataclass(frozen=True, eq=False)
class Unserved:
    """An object that changes what becomes of requests and that no mesh here serves.

    `reason` says why, and what it touches. `document` is None for a template.
    """

    at: At
    name: str
    reason: str
    document: Document | None = None


@dataclass
class Contents:
    """What files and folders hold, sorted.

    `documents` are rules and what they stand on, `others` all other objects.
    `problems` are documents that are none, or of no kind there is, each with file and line.
    `variants` are objects of one kind, namespace and name that say different things: none of them
    is among `documents`.
    """

    files: SourceFiles = field(default_factory=SourceFiles)
    documents: list[Document] = field(default_factory=list)
    others: list[Document] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    unserved: list[Unserved] = field(default_factory=list)
    problems: list[BadRules] = field(default_factory=list)
    variants: list[tuple[Document, ...]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True where there is nothing that a run could say anything about."""
        return not (self.documents or self.variants or self.unserved)


def read_contents(paths: Iterable[str], exclude: Iterable[str] = ()) -> Contents:
    """Return what is at `paths` (files, folders, `-` for standard input), sorted.

    Files in folders that match a pattern of `exclude` are passed over. Nothing is raised.
    """
    return sort_contents(read_sources(paths, exclude))


def sort_contents(files: SourceFiles) -> Contents:
    """Return what files hold, sorted."""
    contents = Contents(files)
    for unreadable in files.unreadable:
        if left_out := _find_unrelated(files, unreadable):
            contents.left_out.append(left_out)
            continue
        message = "".join((unreadable.message, _format_suggestion(unreadable.suggestion)))
        contents.problems.append(unreadable.at.error(message))
    patches = set(_find_patch_files(files.documents))
    candidates = [
        document
        for document in files.documents
        if not _sort_patch(contents, document, patches) and not _sort_out(contents, document)
    ]
    contents.documents += _remove_variants(contents, candidates)
    for template in files.templates:
        _sort_template(contents, template)
    for path in files.other_files:
        suffix = PurePath(path).suffix or PurePath(path).name
        contents.left_out.append(LeftOut(At(path, 1), Reason.OTHER_FILE, suffix))
    for path in files.hidden_folders:
        what = PurePath(path).name
        contents.left_out.append(LeftOut(At(path, 1), Reason.HIDDEN_FOLDER, what))
    return contents


def _format_suggestion(suggestion: str) -> str:
    """Return a repair as the end of a message."""
    return f"; {suggestion}" if suggestion else ""


def _find_unrelated(files: SourceFiles, unreadable: Unreadable) -> LeftOut | None:
    """Return what has a key twice and routes nothing: an object of such a kind, values of a chart.

    Its text has one apiVersion and one kind, or none: else two objects may stand in it.
    """
    if REPEATED_KEY not in unreadable.message:
        return None
    text = files.get_document_text(unreadable.at)
    versions, kinds = (
        re.findall(rf"^{key}:\s*['\"]?([-.\w/]+)", text, re.MULTILINE)
        for key in ("apiVersion", "kind")
    )
    name = PurePath(unreadable.at.file).name
    if not versions and not kinds and _CHART_FILES.fullmatch(name):
        return LeftOut(unreadable.at, Reason.CHART_FILE, name)
    if len(versions) != 1 or len(kinds) != 1:
        return None
    group, kind = versions[0].rpartition("/")[0], kinds[0]
    if (group, kind) == ("", "ConfigMap") or find_role(group, kind) is not Role.NO_EFFECT:
        return None
    return LeftOut(unreadable.at, Reason.NO_EFFECT, kind)


def _sort_out(contents: Contents, document: Document) -> bool:
    """Put a document where it belongs, unless it is a rule or what rules stand on. Say if done."""
    content = document.root.content
    mapping = content if isinstance(content, dict) else {}
    if reason := _find_reason(document, mapping):
        if reason is Reason.KUSTOMIZATION and (change := _describe_change(contents, document)):
            why = f"{change}, and was not rendered{_explain_unrendered(contents, document.at)}"
            contents.unserved.append(Unserved(document.at, f"kustomization {document.at}", why))
            return True
        what = PurePath(document.at.file).name
        contents.left_out.append(LeftOut(document.at, reason, what))
        return True
    try:
        role = find_role(document.group, document.kind)
        reason_unserved = _explain_unserved(document)
        if role is Role.NO_EFFECT and not reason_unserved:
            contents.left_out.append(LeftOut(document.at, Reason.NO_EFFECT, document.kind))
            contents.others.append(document)
            return True
        if role is Role.UNKNOWN:
            raise _describe_unknown_kind(document)
        name = name_object(document)
    except BadRules as error:
        contents.problems.append(error)
        contents.others.append(document)
        return True
    if reason_unserved:
        contents.unserved.append(Unserved(document.at, name, reason_unserved, document))
        contents.others.append(document)
    return bool(reason_unserved)


def _describe_change(contents: Contents, kustomization: Document) -> str:
    """Return what a kustomization does that its files do not show; empty for nothing."""
    reason = contents.files.unrendered.get(realpath(kustomization.at.file), "")
    if reason in contents.files.texts:
        return ""  # it is a part of another one, which is named
    if change := find_change(kustomization):
        return f"it changes objects of this folder by '{change}'"
    return "it takes in objects of other folders" if reason else ""


def _explain_unrendered(contents: Contents, at: At) -> str:
    """Return why a file is not rendered, as the end of a message; else what to do about it."""
    unrendered = contents.files.unrendered
    reason = unrendered.get(realpath(at.file), "")
    reason = unrendered.get(realpath(reason), reason) if reason else ""
    return f": {reason}" if reason else "; render it and check the result"


def is_kustomization(document: Document) -> bool:
    """Say whether a document says how kustomize makes objects of others."""
    content = document.root.content
    mapping = content if isinstance(content, dict) else {}
    return _find_reason(document, mapping) is Reason.KUSTOMIZATION


def find_change(kustomization: Document) -> str:
    """Return the key by which a kustomization makes other objects than its files have; or empty."""
    content = kustomization.root.mapping()
    for key in _KUSTOMIZE_CHANGES:
        if key in content and content[key].content:
            return key
    for key in ("resources", "bases"):
        for entry in find_values(kustomization.root, key):
            if _REMOTE.search(read_text(entry)):
                return key
    return ""


def _find_patch_files(documents: Iterable[Document]) -> Iterator[str]:
    """Yield the paths of the files that kustomizations take as patches."""
    for document in documents:
        if not is_kustomization(document):
            continue
        paths = (("patches", "path"), ("patchesJson6902", "path"), ("patchesStrategicMerge",))
        for value in (value for path in paths for value in find_values(document.root, *path)):
            if name := read_text(value):
                yield normpath(PurePath(document.at.file).parent / name)


def _sort_patch(contents: Contents, document: Document, patches: set[str]) -> bool:
    """Leave a document out if its file is a patch of a kustomization. Say if it is one."""
    is_patch = normpath(document.at.file) in patches
    if is_patch:
        what = PurePath(document.at.file).name
        contents.left_out.append(LeftOut(document.at, Reason.PATCH, what))
    return is_patch


def _explain_unserved(document: Document) -> str:
    """Return why no mesh here serves an object that matters, and what it touches; else empty."""
    if _is_mesh_config(document):
        return "it configures the mesh itself, not its routes"
    reason = explain_unserved(document.group, document.kind)
    return f"{reason}; {describe_reach(document)}" if reason else ""


def _find_reason(document: Document, mapping: dict[str, Value]) -> Reason | None:
    """Return why a document that is no object is left out; None for an object, even a wrong one."""
    file_name = PurePath(document.at.file).name
    version = read_text(mapping.get("apiVersion"))
    if version.partition("/")[0] == _KUSTOMIZE_GROUP or (
        file_name in KUSTOMIZATION_FILES and "kind" not in mapping
    ):
        return Reason.KUSTOMIZATION
    has_type = all(read_text(mapping.get(key)) for key in ("apiVersion", "kind"))
    if _CHART_FILES.fullmatch(file_name) and not has_type:
        return Reason.CHART_FILE
    header_count = sum(key in mapping for key in ("apiVersion", "kind"))
    is_typed_object = header_count and ("metadata" in mapping or "spec" in mapping)
    is_istio_0_1 = "route" in str(getattr(mapping.get("type"), "content", ""))
    if has_type or is_typed_object or is_istio_0_1:
        return None
    return Reason.NO_OBJECT


def _describe_unknown_kind(document: Document) -> BadRules:
    """Return the error for a kind that there is not."""
    nearest = suggest_kind(document.group, document.kind)
    hint = suggest_nearest(document.kind, [nearest]) if nearest else ""
    return document.at.error(
        f"{document.kind} of {document.api_version} is not a rule that meshproof reads{hint}"
    )


def _is_mesh_config(document: Document) -> bool:
    """Say whether a document is the ConfigMap with the configuration of the mesh."""
    is_config_map = (document.group, document.kind) == ("", "ConfigMap")
    return is_config_map and bool(find_values(document.root, "data", "mesh"))


def name_object(document: Document) -> str:
    """Return `Kind namespace/name`."""
    return f"{document.kind} {document.namespace}/{document.name}"


def describe_reach(document: Document) -> str:
    """Return which pods, services or gateways an object touches, in words."""
    spec = document.root.mapping().get("spec")
    targets = [
        f"{read_text(target.mapping().get('kind'))} {read_text(target.mapping().get('name'))}"
        for key in ("targetRef", "targetRefs")
        for target in find_values(spec, key)
        if isinstance(target.content, dict)
    ]
    if targets:
        return f"it touches {', '.join(targets)}"
    for path in _POD_SELECTORS:
        for value in find_values(spec, *path):
            if labels := read_labels(value):
                pairs = ", ".join(f"{key}={text}" for key, text in labels)
                return f"it touches pods with {pairs} in {document.namespace}"
    if document.namespace == _ROOT_NAMESPACE:
        return "it touches the whole mesh"
    return f"it touches all pods in {document.namespace}"


def _sort_template(contents: Contents, template: Template) -> None:
    """Leave out a template of objects that route nothing; any other is not rendered."""
    kinds = list_mesh_kinds(template)
    if not kinds:
        what = PurePath(template.at.file).name
        contents.left_out.append(LeftOut(template.at, Reason.TEMPLATE, what))
        return
    reason = f"it makes {kinds}, and was not rendered{_explain_unrendered(contents, template.at)}"
    contents.unserved.append(Unserved(template.at, f"template {template.at}", reason))


def list_mesh_kinds(template: Template) -> str:
    """Return the kinds of rules, and of what rules stand on, that a template makes; else empty."""
    kinds = ("an object of any kind" if "{" in kind else kind for kind in template.kinds)
    mesh_kinds = (kind for kind in kinds if is_mesh_kind(kind) or " " in kind)
    return ", ".join(dict.fromkeys(mesh_kinds))


def _remove_variants(contents: Contents, documents: Sequence[Document]) -> list[Document]:
    """Return documents without those whose name another one has.

    Of objects that say the same about requests the first is kept.
    """
    by_name: dict[tuple[str, ...], list[Document]] = {}
    for document in documents:
        key = (document.group, document.kind, document.namespace, document.name)
        by_name.setdefault(key, []).append(document)
    dropped: set[int] = set()
    for namesakes in by_name.values():
        if len(namesakes) == 1:
            continue
        first, *later = namesakes
        if all(_read_traffic_part(later_one) == _read_traffic_part(first) for later_one in later):
            contents.left_out += [
                LeftOut(copy.at, Reason.COPY, name_object(copy)) for copy in later
            ]
            dropped |= {id(copy) for copy in later}
        else:
            contents.variants.append(tuple(namesakes))
            dropped |= {id(namesake) for namesake in namesakes}
    return [document for document in documents if id(document) not in dropped]


def _read_traffic_part(document: Document) -> object:
    """Return what an object says about requests; of a workload only its pods' labels and ports.

    A Pod has these itself, the others in their template.
    """
    content = document.root.mapping()
    if document.kind == "Namespace":
        return [value.to_python() for value in find_values(document.root, "metadata", "labels")]
    if document.kind not in _WORKLOADS:
        annotations = find_values(document.root, "metadata", "annotations")
        return (
            content["spec"].to_python() if "spec" in content else None,
            [value.to_python() for value in annotations],
        )
    is_pod = document.kind == "Pod"
    template = [document.root] if is_pod else find_values(document.root, "spec", "template")
    return [
        [value.to_python() for value in find_values(part, *path)]
        for part in template
        for path in (("metadata", "labels"), ("spec", "containers", "ports"))
    ]


def summarize_left_out(left_out: Iterable[LeftOut]) -> list[str]:
    """Return for each reason how much is left out: `3 objects that route nothing (Job 2, ...)`."""
    by_reason: dict[Reason, Counter[str]] = {}
    for entry in left_out:
        by_reason.setdefault(entry.reason, Counter())[entry.what] += 1
    return [
        _summarize_reason(reason, by_reason[reason]) for reason in Reason if reason in by_reason
    ]


def _summarize_reason(reason: Reason, counts: Counter[str]) -> str:
    """Return how much is left out for one reason, with the most frequent parts."""
    total = counts.total()
    parts = [f"{what} {count}" if total > 1 else what for what, count in counts.most_common(5)]
    if len(counts) > len(parts):
        parts.append(f"{len(counts) - len(parts)} more")
    return f"{total} {reason if total == 1 else reason.plural} ({', '.join(parts)})"
