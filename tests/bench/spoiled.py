"""Spoils rule sets in one place each and asks whether `compare` finds it.

    python -m tests.bench.spoiled FOLDER...

Each FOLDER is a rule set: its own, or of a public repository. It is compared with itself, and
then with copies that differ in one value: a host, a subset, a weight, a header, a path, a port. A
spoiled place is `found` (exit 1), `named` as not checked or not compared (exit 3, or 64 where the
sides have no host in common any more), or `overlooked`; `astray` is one where another rule is
reported.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshproof.cli import main as meshproof

#: Kinds whose values decide where requests go.
KINDS = ("VirtualService", "HTTPRoute", "GRPCRoute", "Ingress", "RouteRule", "DestinationRule")
#: Keys whose text decides something: it gets another one.
_TEXTS = (
    *("host", "subset", "exact", "prefix", "regex", "value", "uri", "authority", "path"),
    *("hostname", "replaceFullPath", "replacePrefixMatch", "timeout", "perTryTimeout"),
)
#: Keys whose number does.
_NUMBERS = ("weight", "port", "number", "redirectCode", "statusCode", "attempts", "httpStatus")
#: Keys whose entries are such texts.
_LISTS = ("hosts", "hostnames")
_OF_NAMES = ("backendRefs", "backendRef", "service")


@dataclass(frozen=True)
class Place:
    """One value of a rule: where it stands in a text, and what it is replaced by."""

    file: str
    rule: str
    lines: range
    path: str
    start: int
    end: int
    old: str
    new: str

    def is_reported_at(self, places: tuple[str, str]) -> bool:
        """Say whether one of the places of a change is in the rule, or may follow from it."""
        return self.rule.startswith("DestinationRule") or any(
            file.endswith(self.file) and int(line) in self.lines
            for file, _, line in (place.rpartition(":") for place in places)
            if line.isdigit()
        )

    def __str__(self) -> str:
        return f"{self.file}: {self.rule} {self.path}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison says: its exit code, its changes and what it does not compare."""

    code: int
    changes: tuple[str, ...] = ()
    places: tuple[tuple[str, str], ...] = ()
    not_compared: tuple[str, ...] = ()

    def describe(self, place: Place) -> str:
        """Return what became of a spoiled place: found, named, overlooked or astray."""
        if self.code == 1 and not all(map(place.is_reported_at, self.places)):
            return "astray"
        return {1: "found", 3: "named", 64: "named", 0: "overlooked"}.get(
            self.code, f"exit {self.code}"
        )


def list_places(file: str, text: str) -> Iterator[Place]:
    """Yield each value of the rules in a text that decides where requests go."""
    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        if isinstance(document, yaml.MappingNode):
            body = yaml.safe_load(text[document.start_mark.index : document.end_mark.index])
            if isinstance(body, dict) and body.get("kind") in KINDS:
                rule = f"{body['kind']} {body.get('metadata', {}).get('name', '')}"
                lines = range(document.start_mark.line + 1, document.end_mark.line + 2)
                if "delegate" in str(body):  # its routes are parts of other objects
                    lines = range(1, text.count("\n") + 2)
                for path, node in _list_values(document, ""):
                    if new := _spoil(path, node, body):
                        start, end = node.start_mark.index, node.end_mark.index
                        yield Place(file, rule, lines, path, start, end, text[start:end], new)


def _list_values(node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Yield the path and the node of each value below a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _list_values(value, f"{path}.{key.value}")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _list_values(value, f"{path}[{index}]")
    elif isinstance(node, yaml.ScalarNode):
        yield path.lstrip("."), node


def _spoil(path: str, node: yaml.ScalarNode, body: dict[str, Any]) -> str:
    """Return another value for one that decides something, "" for any other."""
    kind = body["kind"]
    if not path.startswith("spec.") or "trafficPolicy" in path:
        return ""
    *parents, key = path.split(".")
    parent = parents[-1].partition("[")[0]
    if key.partition("[")[0] in _LISTS:
        return "" if node.value.startswith("*") else json.dumps(f"x{node.value}")
    if kind == "DestinationRule" and parent == "labels":
        return json.dumps(f"{node.value}x")
    if key in _NUMBERS and node.value.isdigit():
        return str(int(node.value) + 1)
    if key == "name" and parent in _OF_NAMES:
        return json.dumps(f"{node.value}x")
    if key in ("timeout", "perTryTimeout"):
        return "9s"
    if key in _TEXTS and node.value and node.tag == "tag:yaml.org,2002:str":
        return json.dumps(f"{node.value}x")
    return ""


def _is_passed_over(path: str, spec: dict[str, Any]) -> bool:
    """Say whether a value is of a route that an earlier one hides, or that aborts all requests."""
    index = re.match(r"spec\.http\[(\d+)\]", path)
    if index is None:
        return False
    routes = spec["http"][: int(index[1]) + 1]
    abort = routes[-1].get("fault", {}).get("abort", {}).get("percentage", {}).get("value")
    is_aborted = abort == 100 and ".route[" in path
    return is_aborted or not all(route.get("match") for route in routes[:-1])


def compare(before: Path, after: Path) -> Verdict:
    """Return what `compare` says of two folders, without asking real Envoys."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = meshproof(["compare", str(before), str(after), "--no-send", "-o", "json"])
    if code not in (0, 1, 3):
        return Verdict(code, (errors.getvalue(),))
    report: dict[str, Any] = json.loads(output.getvalue())
    places = tuple(
        (change["before"]["place"], change["after"]["place"])
        for change in report["changes"]
        if not any(change[side]["answer"].startswith("not known") for side in ("before", "after"))
    )
    changes = tuple(
        f"{change['request']}: {change['before']['answer']} -> {change['after']['answer']}"
        for change in report["changes"]
    )
    return Verdict(code, changes, places, tuple(report["not_compared"]))


def list_folder_places(folder: Path) -> list[Place]:
    """Return the places of all files of a folder, as far as a route needs them.

    A subset that no route names, the weight of an only destination and a route that no request
    passes decide nothing.
    """
    files = sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])
    places = [
        place
        for file in files
        for place in list_places(str(file.relative_to(folder)), file.read_text())
    ]
    used = {tuple(pair) for file in files for pair in _list_used_subsets(file.read_text())}
    return [place for place in places if _decides(place, places, folder, used)]


def _list_used_subsets(text: str) -> Iterator[tuple[str, str]]:
    """Yield host and subset of each destination of the routes in a text."""
    for destination in re.findall(r"destination:\s*((?:\{[^}]*\})|(?:\n(?:\s+\w+:.*\n?)+))", text):
        host = re.search(r"host:\s*\"?([\w.-]+)", destination)
        subset = re.search(r"subset:\s*\"?([\w.-]+)", destination)
        if host:
            yield host[1].split(".")[0], subset[1] if subset else ""


def _decides(
    place: Place, places: Sequence[Place], folder: Path, used: set[tuple[str, ...]]
) -> bool:
    """Say whether a route needs a value."""
    if place.path.endswith(".weight"):
        siblings = re.compile(re.escape(place.path.rpartition("[")[0]) + r"\[\d+\]\.weight$")
        return (
            sum(other.rule == place.rule and bool(siblings.match(other.path)) for other in places)
            > 1
        )
    kind, _, name = place.rule.partition(" ")
    text = (folder / place.file).read_text()
    spec = next(
        body["spec"]
        for body in yaml.safe_load_all(text)
        if body and body.get("kind") == kind and body["metadata"].get("name") == name
    )
    if kind != "DestinationRule":
        return not _is_passed_over(place.path, spec)
    host = str(spec["host"]).split(".")[0]
    number = re.match(r"spec\.subsets\[(\d+)\]", place.path)
    subsets = spec.get("subsets", ())
    names = [subsets[int(number[1])]["name"]] if number else [entry["name"] for entry in subsets]
    return any((host, subset) in used for subset in names)


def compare_spoiled(folder: Path, place: Place, scratch: Path) -> Verdict:
    """Return what `compare` says of a folder and its copy that is spoiled in one place."""
    spoiled = scratch / "spoiled"
    shutil.rmtree(spoiled, ignore_errors=True)
    shutil.copytree(folder, spoiled)
    file = spoiled / place.file
    text = file.read_text()
    file.write_text(text[: place.start] + place.new + text[place.end :])
    return compare(folder, spoiled)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what becomes of each spoiled place; return 1 where one is overlooked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--places", type=int, default=4, help="for each folder, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    words: Counter[str] = Counter()
    same: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for folder in options.folders:
            unspoiled = compare(folder, folder)
            places = list_folder_places(folder)
            if unspoiled.code not in (0, 3) or unspoiled.changes or not places:
                sys.stdout.write(f"{folder}: left out: {unspoiled.code} {unspoiled.changes[:1]}\n")
                continue
            whole = "in whole" if not unspoiled.code else "but for what is named"
            same[whole] += 1
            for place in chance.sample(places, min(options.places, len(places))):
                verdict = compare_spoiled(folder, place, Path(scratch))
                words[word := verdict.describe(place)] += 1
                first = next(iter((*verdict.changes, *verdict.not_compared)), "")
                sys.stdout.write(f"{folder}: {word}: {place}: {first[:160]}\n")
    sys.stdout.write(f"folders compared: {dict(same)}; spoiled places: {dict(words)}\n")
    return int(bool(set(words) - {"found", "named"}))


if __name__ == "__main__":
    sys.exit(main())
