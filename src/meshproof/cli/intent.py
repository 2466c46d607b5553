"""`meshproof intent init`: writes a first file of expectations, from the rules as they are."""

from __future__ import annotations

import argparse

from meshproof.base import errors
from meshproof.base.output import write
from meshproof.options import command_line, sources

DESCRIPTION = (
    "Writes a first intent file to standard output: one expectation for each route, as the rules "
    "have it today. Read it, change what is not meant, and keep it as meshproof.yaml beside the "
    "rules: `meshproof test --rules` checks it from then on. RULES is a file, a folder, - or "
    "cluster:[CONTEXT/]NAMESPACE."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=["init"], metavar="init", help="write a first file")
    parser.add_argument("rules", metavar="RULES", help="a rule file, a folder, cluster:NAMESPACE")
    command_line.add_options(parser, "intent")


def run(options: argparse.Namespace) -> int:
    """Print the file; return the exit code. Raises BadRules for rules that cannot be read."""
    sources.fill_in("intent", options)
    from meshproof.user_rules import asking, intent

    write(intent.write_intent(asking.load_rules(options)))
    return errors.EXIT_PASSED
