"""`meshproof lint`: finds mistakes in rule files, with line and repair, without a mesh."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.base.output import print_json, print_line, print_message, write

if TYPE_CHECKING:
    from meshproof.documents.sources import SourceFiles
    from meshproof.lint import Page
    from meshproof.lint.engine.finding import Finding

DESCRIPTION = (
    "Says what is wrong with rules, with line and repair: VirtualService, DestinationRule, "
    "Gateway, ServiceEntry, HTTPRoute, RouteRule. PATH is a file, a folder (all of its *.yaml and "
    "*.yml), `-`: `kustomize build . | meshproof lint -`, or a live namespace, read only: "
    "cluster:[CONTEXT/]NAMESPACE[,NAMESPACE]. A comment "
    "`# meshproof: ignore[MP0301]` in a line, or alone above it, takes away that finding."
)
EPILOG = (
    "Whatever -o says, it ends with 0 where nothing is at or above --fail-on, with 79 where "
    "something is, and with 65 where nothing could be read."
)
_LEVELS = ("info", "warning", "error")
_UNREADABLE = "MP0100"
#: Keeps the last input alive in a reference cycle: freeing it at exit takes a tenth of the run.
_LAST_INPUT: list[object] = []


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
    """Lint the paths, print the findings, return the exit code (see EPILOG).

    With --list prints all codes instead, with --explain the page of one.
    Raises UsageError for unusable options; an unreadable file is a finding.
    """
    if options.list:
        return _print_codes(options.output)
    if options.explain:
        return _print_page(options.explain)
    if not options.paths:
        raise UsageError("lint: PATH is missing, e.g. `meshproof lint istio/`, or - for stdin")
    return _lint_paths(options)


def _lint_paths(options: argparse.Namespace) -> int:
    """Lint the files and live namespaces, print the findings, return the exit code."""
    import gc

    from meshproof.documents.sources import read_sources
    from meshproof.lint import lint
    from meshproof.lint.engine import ignore_comments, output
    from meshproof.user_rules import live

    suppressed_codes = _read_suppressed_codes(options.suppress)
    gc.disable()  # no garbage before the end: collections would only cost time
    try:
        sources = read_sources(
            [path for path in options.paths if not live.is_live(path)], options.exclude
        )
        _add_live_objects(sources, [path for path in options.paths if live.is_live(path)])
        findings = lint(sources.documents, suppressed_codes, sources.unreadable, sources.templates)
    finally:
        gc.freeze()
        gc.enable()
    _LAST_INPUT[:] = [sources, _LAST_INPUT]
    findings = ignore_comments.apply_ignore_comments(
        findings, sources, _list_codes(), suppressed_codes
    )
    code = _choose_exit_code(findings, options.fail_on, bool(sources.documents))
    if options.output == "text":
        output.write_parts(output.render_text(findings, sources), sys.stdout)
    elif options.output == "json":
        write(f"{output.render_json(findings)}\n")
    else:
        write(f"{output.render_sarif(findings, sources, _read_pages(), code)}\n")
    _print_left_out(sources)
    return code


def _print_left_out(sources: SourceFiles) -> None:
    """Say on standard error what of the files no check looks at, by kind."""
    from meshproof.documents.contents import Reason, sort_contents, summarize_left_out

    left_out = [
        entry for entry in sort_contents(sources).left_out if entry.reason is not Reason.COPY
    ]
    if left_out:
        print_message(f"left out: {', '.join(summarize_left_out(left_out))}")


def _add_live_objects(sources: SourceFiles, paths: list[str]) -> None:
    """Add the objects of live namespaces; the API server has validated them already."""
    from meshproof.documents.manifest import parse
    from meshproof.user_rules import live

    for source, text in live.read_texts(paths).items() if paths else ():
        sources.texts[source] = text
        sources.documents += parse(text, source)


def _choose_exit_code(findings: Sequence[Finding], fail_on: str, has_documents: bool) -> int:
    """Return the exit code for the findings and --fail-on."""
    if not has_documents and any(finding.code == _UNREADABLE for finding in findings):
        return errors.EXIT_BAD_RULES
    lowest = _LEVELS.index(fail_on)
    is_failing = any(_LEVELS.index(finding.level) >= lowest for finding in findings)
    return errors.EXIT_FINDINGS if is_failing else errors.EXIT_PASSED


def _list_codes() -> list[str]:
    """Return all lint codes, with that of the ignore comments."""
    from meshproof.lint import load_checks
    from meshproof.lint.engine import ignore_comments

    return [ignore_comments.CODE, *(check.code for check in load_checks())]


def _read_pages() -> list[Page]:
    """Return the doc page of every code."""
    from meshproof.lint import read_page

    return [read_page(code) for code in _list_codes()]


def _read_suppressed_codes(values: list[str]) -> set[str]:
    """Parse --suppress. Raises UsageError for an unknown code and for MP0100."""
    codes = {code.strip().upper() for value in values for code in value.split(",") if code.strip()}
    for code in sorted(codes):
        _require_known_code(code, "--suppress")
        if code == _UNREADABLE:
            raise UsageError(
                f"lint: --suppress {code}: what cannot be read cannot be suppressed, since nothing "
                "was checked there; leave the file out (--exclude PATTERN)"
            )
    return codes


def _require_known_code(code: str, option: str) -> None:
    """Raise UsageError when there is no such code."""
    if code not in _list_codes():
        raise UsageError(
            f"lint: {option} {code}: there is no such code{suggest_nearest(code, _list_codes())}"
        )


def _print_page(text: str) -> int:
    """Print the doc page of a code. Raises UsageError when there is no such code."""
    from meshproof.lint.engine.output import render_page_text

    code = text.strip().upper()
    _require_known_code(code, "--explain")
    write(next(render_page_text(page) for page in _read_pages() if page.code == code))
    return errors.EXIT_PASSED


def _print_codes(output: str) -> int:
    """Print code, level and title of every check."""
    if output == "json":
        codes = [
            {"code": page.code, "level": page.level, "title": page.title} for page in _read_pages()
        ]
        print_json(codes)
    else:
        for page in _read_pages():
            print_line(f"{page.code}  {page.level:<8} {page.title}")
    return errors.EXIT_PASSED
