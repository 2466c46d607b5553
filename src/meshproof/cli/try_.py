"""`meshproof try`: keeps a mesh of a user's rules up, with the command that asks a URL of it."""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.output import print_line, print_message
from meshproof.options import command_line, sources

if TYPE_CHECKING:
    from meshproof.mesh.echo.case_mesh import CaseMesh

DESCRIPTION = (
    "Serves rules by real Envoys on this machine, to workloads that echo, sends the request once, "
    "prints the curl command that sends it again, and stays up until Ctrl-C. RULES is a file, a "
    "folder, - or cluster:[CONTEXT/]NAMESPACE."
)
EPILOG = (
    "It ends with 0 at Ctrl-C or after --for, and with 1 where the first answer is a wrong one."
)
_PAUSE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    from meshproof.cli.explain import add_request_arguments

    parser.epilog = EPILOG
    add_request_arguments(parser)
    parser.add_argument(
        "--for",
        dest="seconds",
        type=float,
        metavar="SECONDS",
        help="end by itself after so many seconds (default: at Ctrl-C)",
    )
    command_line.add_options(parser, "try")


def run(options: argparse.Namespace) -> int:
    """Serve the rules until Ctrl-C or --for; return the exit code (see EPILOG).

    Raises UsageError for a URL or workload that is none, BadRules for rules that cannot be read.
    """
    sources.fill_in("try", options)
    if options.seconds is not None and not options.seconds >= 0:
        raise errors.UsageError(f"--for {options.seconds:g}: expected 0 or more seconds")
    from meshproof.user_rules import asking

    user_rules = asking.load_rules(options)
    explanation = asking.explain_url(asking.read_called_url(options), user_rules)
    for note in (*user_rules.world_notes, *map(str, user_rules.excluded)):
        print_line(note)
    with asking.opened_mesh(explanation, user_rules, options.envoy) as (mesh, case):
        answer = asking.ask_mesh(mesh, case, user_rules)
        print_line(f"{asking.describe_answer(explanation)} is what the rules say")
        print_line(f"{answer.text} is what a real Envoy answered to")
        print_line(f"  {answer.curl}")
        _wait(mesh, options.seconds)
    return errors.EXIT_FAILED if answer.differs else errors.EXIT_PASSED


def _wait(mesh: CaseMesh, seconds: float | None) -> None:
    """Say so and wait until Ctrl-C or for some seconds.

    Raises an error if a process of the mesh ends.
    """
    end = time.monotonic() + seconds if seconds is not None else None
    with contextlib.suppress(KeyboardInterrupt):
        print_message("meshproof: the mesh of these rules is up; Ctrl-C ends it")
        while end is None or time.monotonic() < end:
            mesh.require_processes()
            threading.Event().wait(_PAUSE)
