"""`meshproof convert`: turns legacy rules into current ones and proves that they agree."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base import errors, files, signals
from meshproof.base.errors import UsageError
from meshproof.base.output import print_message, write_bytes

if TYPE_CHECKING:
    from meshproof.convert import Conversion
    from meshproof.convert.proof import Direction
    from meshproof.convert.source import Source

DESCRIPTION = (
    "Turns RouteRule, DestinationPolicy and EgressRule (config.istio.io/v1alpha2) and Ingress of "
    "class istio into VirtualService, DestinationRule, ServiceEntry and Gateway "
    "(networking.istio.io/v1) that say the same, with the comments of the source. Only these are "
    "printed: other objects at PATH are read for what they tell of hosts (a Service has the labels "
    "of a caller and the numbers of named ports) and left out. What cannot be said is named on "
    "standard error and in a comment where it is missing; what else is worth knowing, on standard "
    "error only. PATH is a file, a folder, or `-`: "
    "`kubectl get routerules -A -o yaml | meshproof convert -`."
)
EPILOG = (
    "Both sides are always compared in the routing model; --prove also sends requests: the cases "
    "that follow from the source to Envoys with the converted rules, and the other way round. "
    "Nothing is written before that holds. "
    "It ends with 79 where all but what standard error names is converted, with 1 where the "
    "converted rules do not say the same, and with 3 where that is not proven (with --prove)."
)
_STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="files, folders, or - for standard input")
    add("-o", "--output", metavar="FILE", default=_STDOUT, help="default: standard output")
    add("--prove", action="store_true", help="prove on the local mesh that both say the same")
    add(
        "--old-defaults",
        action="store_true",
        help="also write out what the old mesh did by itself: a timeout of 15s, no retries",
    )


def run(options: argparse.Namespace) -> int:
    """Convert the rules, compare, and write them unless they differ; return the exit code.

    Raises UsageError for unusable options, BadRules for rules that cannot be converted.
    """
    if not options.paths:
        raise UsageError(
            "convert: PATH is missing, e.g. `meshproof convert istio/`, or - for stdin"
        )
    _check_output(options.output, options.paths)
    from meshproof.convert import convert
    from meshproof.convert.source import read_source

    source = read_source(options.paths)
    conversion = convert(source, options.old_defaults)
    for note in (*conversion.notes, *source.notes):
        print_message(str(note))
    code = _verify_conversion(source, conversion, options)
    if code not in (errors.EXIT_PASSED, errors.EXIT_INCONCLUSIVE):
        return code
    _write_output(conversion.text, options.output)
    if code == errors.EXIT_PASSED and not conversion.is_complete:
        return errors.EXIT_FINDINGS
    return code


def _verify_conversion(source: Source, conversion: Conversion, options: argparse.Namespace) -> int:
    """Compare source and conversion, with --prove on the mesh, too; return the exit code."""
    from meshproof.cli.compare import render_changes
    from meshproof.convert import proof

    name = "<converted>" if options.output == _STDOUT else options.output
    comparison = proof.compare(
        source, conversion.text, name, conversion.notes, options.old_defaults
    )
    for line in comparison.lines():
        print_message(line)
    if comparison.different:
        print_message("meshproof: nothing is written: the converted rules would not say the same")
        return errors.EXIT_FAILED
    if not options.prove:
        return errors.EXIT_PASSED
    directions = proof.build_directions(source, conversion.text, name, comparison)
    if not directions:
        print_message("not proven on the mesh: there is no rule that it can answer")
    changes = proof.find_changes(directions, name)
    for line in render_changes(changes):
        print_message(line)
    for direction in directions:
        if code := _prove_direction(direction, source):
            return code
    if changes:
        return errors.EXIT_FAILED
    unproven_parts = [part for part in comparison.same if not proof.is_provable_on_mesh(part)]
    for part in unproven_parts:
        print_message(
            f"not proven on the mesh: {', '.join(part.hosts)} (only services of the cluster)"
        )
    is_proven = directions and not unproven_parts and not comparison.not_compared
    return errors.EXIT_PASSED if is_proven else errors.EXIT_INCONCLUSIVE


def _prove_direction(direction: Direction, source: Source) -> int:
    """Send the cases of one direction to the local mesh; return the exit code of the run.

    The run uses the suite and the judge of `meshproof test --rules`. When it fails, its output is
    printed and its reports stay. Raises KeyboardInterrupt for a signal.
    """
    folder: Path | None = None
    keeps_reports = False
    try:
        with signals.uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix="meshproof-proof-"))
        code, output = _run_cases(direction, folder)
        if code == errors.EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code == errors.EXIT_PASSED:
            signals.heed_again()  # the run ignores them at its end
        keeps_reports = code != errors.EXIT_PASSED
        _print_proof(direction, source, code, output, folder)
    finally:
        with signals.uninterrupted():
            if folder and not keeps_reports:
                shutil.rmtree(folder, ignore_errors=True)
    return code


def _run_cases(direction: Direction, folder: Path) -> tuple[int, str]:
    """Run the cases of one direction; return the exit code and the output."""
    from meshproof.cli.test import run_suites

    output = io.StringIO()
    arguments = ["--mesh=local", f"--mesh-report={folder}", f"--mesh-rules={direction.description}"]
    with contextlib.redirect_stdout(output):
        code = run_suites(arguments, "convert", ((direction.description,), direction.user_rules))
    return code, output.getvalue()


def _print_proof(
    direction: Direction, source: Source, code: int, output: str, folder: Path
) -> None:
    """Print what the run of one direction has shown."""
    from meshproof.convert import proof
    from meshproof.run.record import Outcome, Run

    record = folder / "run.json"
    results = Run.from_json(record.read_text()).results if record.exists() else []
    if code == errors.EXIT_PASSED:
        print_message(f"the same on the local mesh: {direction.description}: {len(results)} cases")
        return
    print_message(output)
    for result in results:
        if result.outcome is not Outcome.PASSED:
            place = proof.describe_place(result.rule, source) if result.rule else result.name
            print_message(f"{place}: {result.outcome}: {result.promise}")
    verb = "not the same" if code == errors.EXIT_FAILED else "not proven"
    print_message(f"{verb}: {direction.description}")


def _check_output(output: str, paths: list[str]) -> None:
    """Raise UsageError for an output that would overwrite a source file, or is a folder."""
    if output == _STDOUT:
        return
    for path in paths:
        file, folder = Path(output).resolve(), Path(path).resolve()
        if path != _STDOUT and (file == folder or (folder in file.parents and file.exists())):
            raise UsageError(f"convert: -o {output}: this file is read itself; name another")
    if os.path.isdir(output):
        raise UsageError(f"convert: -o {output}: this is a folder; name a file in it")


def _write_output(text: str, output: str) -> None:
    """Write the file whole or not at all. Raises UsageError when it cannot be written."""
    content = text.encode()
    if output == _STDOUT:
        write_bytes(content)
        return
    target = Path(output)
    try:
        if target.exists() and not target.is_file():  # a device or a pipe: never replaced
            target.write_bytes(content)
        else:
            files.write_atomically(target, content)
    except OSError as error:
        raise UsageError(f"convert: -o {output}: cannot be written: {error.strerror}") from None
