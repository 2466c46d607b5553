"""`meshproof lint`: says what is wrong with rule files, with line and repair, without a mesh."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import UsageError, nearest

if TYPE_CHECKING:
    from meshproof.lint import Page
    from meshproof.lint.engine.finding import Finding
    from meshproof.lint.engine.lint_input import LintInput

DESCRIPTION = (
    "Says what is wrong with rules, with line and repair: VirtualService, DestinationRule, "
    "Gateway, ServiceEntry, HTTPRoute, RouteRule. PATH is a file, a folder (all of its *.yaml and "
    "*.yml), `-`: `kustomize build . | meshproof lint -`, or a live namespace, read only: "
    "cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]. A comment "
    "`# meshproof: ignore[MP0301]` in a line, or alone above it, takes away that finding."
)
EPILOG = (
    "Whatever -o says, it ends with 0 where nothing is at or above --fail-on, with 79 where "
    "something is, and with 65 where a file or a document could not be read."
)
_LEVELS = ("info", "warning", "error")
_UNREADABLE = "MP0100"
#: What was read last, in a circle: to free it piece by piece at the end takes a tenth of the run.
_KEPT: list[object] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="files, folders, - or cluster:NAMESPACE")
    add("-o", "--output", choices=["text", "json", "sarif"], default="text", help="default: text")
    add(
        "--suppress", action="append", default=[], metavar="CODE", help="leave out, may be repeated"
    )
    add("--fail-on", choices=_LEVELS[::-1], default="warning", help="default: warning")
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="files of folders, charts/*",
    )
    add("--explain", metavar="CODE", help="print the doc page of a code")
    add("--list", action="store_true", help="print all codes")


def run(options: argparse.Namespace) -> int:
    """Carry out the command; return its exit code. Raises UsageError for unusable options."""
    _make_printable()
    if options.list:
        return _list(options.output)
    if options.explain:
        return _explain(options.explain)
    if not options.paths:
        raise UsageError("lint: PATH is missing, e.g. `meshproof lint istio/`, or - for stdin")
    return _lint(options)


def _lint(options: argparse.Namespace) -> int:
    import gc

    from meshproof.lint import lint
    from meshproof.lint.engine import ignore_comments, output
    from meshproof.lint.engine.lint_input import read_input
    from meshproof.user_rules import live

    left_out = _suppressed(options.suppress)
    gc.disable()  # many small objects, of which none is freed before the end: nor looked at then
    try:
        reading = read_input(
            [one for one in options.paths if not live.is_live(one)], options.exclude
        )
        _add_live(reading, [one for one in options.paths if live.is_live(one)])
        found = lint(reading.documents, left_out, reading.unreadable)
    finally:
        gc.freeze()
        gc.enable()
    _KEPT[:] = [reading, _KEPT]
    found = ignore_comments.apply_ignore_comments(found, reading, _codes(), left_out)
    code = _exit_code(found, options.fail_on)
    if options.output == "text":
        output.write_parts(output.render_text(found, reading), sys.stdout)
    elif options.output == "json":
        sys.stdout.write(f"{output.render_json(found)}\n")
    else:
        sys.stdout.write(f"{output.render_sarif(found, reading, _pages(), code)}\n")
    return code


def _add_live(reading: LintInput, paths: list[str]) -> None:
    """Take the objects of live namespaces: they hold for the server that has them already."""
    from meshproof.documents.manifest import parse
    from meshproof.user_rules import live

    for place, text in live.read_texts(paths).items() if paths else ():
        reading.texts[place] = text
        reading.documents += parse(text, place)


def _exit_code(findings: Sequence[Finding], fail_on: str) -> int:
    if any(one.code == _UNREADABLE for one in findings):
        return errors.EXIT_BAD_RULES
    least = _LEVELS.index(fail_on)
    failing = any(_LEVELS.index(one.level) >= least for one in findings)
    return errors.EXIT_FINDINGS if failing else errors.EXIT_PASSED


def _codes() -> list[str]:
    from meshproof.lint import load_checks
    from meshproof.lint.engine import ignore_comments

    return [ignore_comments.CODE, *(check.code for check in load_checks())]


def _pages() -> list[Page]:
    from meshproof.lint import read_page

    return [read_page(code) for code in _codes()]


def _suppressed(given: list[str]) -> set[str]:
    """Return the codes to leave out. Raises UsageError for one that does not exist."""
    found = {one.strip().upper() for part in given for one in part.split(",") if one.strip()}
    for code in sorted(found):
        _known(code, "--suppress")
        if code == _UNREADABLE:
            raise UsageError(
                f"lint: --suppress {code}: what cannot be read cannot be suppressed, since nothing "
                "was checked there; leave the file out (--exclude PATTERN)"
            )
    return found


def _known(code: str, option: str) -> None:
    if code not in _codes():
        raise UsageError(f"lint: {option} {code}: there is no such code{nearest(code, _codes())}")


def _explain(given: str) -> int:
    from meshproof.lint.engine.output import render_page_text

    code = given.strip().upper()
    _known(code, "--explain")
    sys.stdout.write(next(render_page_text(page) for page in _pages() if page.code == code))
    return errors.EXIT_PASSED


def _list(output: str) -> int:
    if output == "json":
        import json

        found = [{"code": page.code, "level": page.level, "title": page.title} for page in _pages()]
        sys.stdout.write(f"{json.dumps(found, indent=1)}\n")
    else:
        for page in _pages():
            sys.stdout.write(f"{page.code}  {page.level:<8} {page.title}\n")
    return errors.EXIT_PASSED


def _make_printable() -> None:
    """Let a stream that cannot write a character write its number instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
