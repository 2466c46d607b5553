"""`meshproof completion`: prints a script that completes commands, options and paths in a shell."""

from __future__ import annotations

import argparse

from meshproof.base import errors, output

DESCRIPTION = (
    "Prints a script that completes commands, options and paths. bash: put `eval "
    '"$(meshproof completion bash)"` into ~/.bashrc. zsh: write it to _meshproof in a folder of '
    "your $fpath. fish: write it to ~/.config/fish/completions/meshproof.fish."
)
SHELLS = ("bash", "zsh", "fish")
#: What an option or argument of this name takes -> how shtab completes it.
_FILES = ("PATH", "PATH|VERSION", "FILE", "REPORT")
_FOLDERS = ("DIR",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(options: argparse.Namespace) -> int:
    """Print the script; return EXIT_PASSED."""
    import shtab

    from meshproof.cli import build_whole_parser

    parser = build_whole_parser()
    _mark_values(parser)
    output.write_bytes(f"{shtab.complete(parser, options.shell)}\n".encode())
    return errors.EXIT_PASSED


def _mark_values(parser: argparse.ArgumentParser) -> None:
    """Let paths and choices be completed: in this parser and in those of its commands."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _mark_values(subparser)
        elif isinstance(action.metavar, str) and action.metavar.startswith("{"):
            action.choices = action.metavar.strip("{}").split(",")
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
