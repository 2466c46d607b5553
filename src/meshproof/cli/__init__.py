"""The `meshproof` command. Starts light: each command imports what it needs."""

from __future__ import annotations

import argparse
import importlib
import keyword
import re
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from meshproof import __version__
from meshproof.base import errors, output, signals
from meshproof.base.errors import (
    MeshproofError,
    NotReady,
    UsageError,
    describe_exit_codes,
    describe_internal_error,
    pluralize,
    suggest_nearest,
)

if TYPE_CHECKING:
    from meshproof.user_rules.loading import UserRules

#: Commands with a module of their own, `<command>.py`, and what `--help` says of each.
_MODULES = {
    "judge": "judge labels from any log: --expect v1=50,v2=50 < labels.txt",
    "lint": "say what is wrong with rule files: PATH ... [-o text|json|sarif]",
    "plan": "list the cases that follow from rule files, and the routes that they cover: PATH ...",
    "explain": "say which route takes a request, and why the others do not: RULES URL [-H ...]",
    "intent": "write a first file of what is meant, from the rules as they are: init RULES",
    "compare": "say which requests two sets of rules answer differently: RULES RULES",
    "report": "say what two runs found differently: diff A B",
    "try": "keep a mesh of rules up for curl: RULES URL [-H ...]",
    "smoke": "look whether the mesh of a cluster works, every night: [--context NAME]",
    "rbac": "print the rights that a run needs: [--for smoke|test] [--cronjob --image IMAGE]",
    "cleanup": "remove what killed runs have left, in a cluster and on this machine",
    "convert": "turn rules of Istio 0.x into those of today, proven the same: PATH ... [-o FILE]",
    "images": "the images that a run on a cluster needs: list, pull, push [--image-prefix PREFIX]",
    "istiod": "the istiods for --mesh istiod on this machine: list, pull VERSION ...",
    "completion": "print the script that completes commands and options: bash, zsh or fish",
}
_COMMANDS = ("test", *_MODULES, "mesh")
_TEST_SUMMARY = "check every promise; reports go to ./meshproof-report/"
_TEST_EPILOG = (
    "Every other argument goes to pytest: -k, -m, -x, --maxfail, -v, -q, --junitxml, -p, -W. "
    "Options may also come from the environment or from a file (docs/reference/options.md). The "
    "bundled promises, and the cases of --rules, have a pytest configuration of their own: ini "
    "files, conftest.py and PYTEST_... variables of this place are not read, and -c, --rootdir, "
    "--confcutdir and --override-ini are refused. With a PATH of your own tests, or --pyargs "
    "MODULE, your configuration holds in full. A run is one process: -n of pytest-xdist is not "
    "used."
)


class _Parser(argparse.ArgumentParser):
    """An argument parser that ends with 64 and names the nearest word."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """Name the nearest word, print the usage and end with EXIT_USAGE."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += suggest_nearest(choice[1], re.findall(r"[\w-]+", choice[2]))
        self.print_usage(sys.stderr)
        self.exit(errors.EXIT_USAGE, f"{self.prog}: {message}\n")

    def format_help(self) -> str:
        """Return the help; the exit codes are at the end of it, whatever the command."""
        width = shutil.get_terminal_size().columns - 2
        return f"{super().format_help()}\n{textwrap.fill(describe_exit_codes(), width)}\n"

    def options(self) -> list[str]:
        """Return the names of its options."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def suggest(self, argument: str) -> str:
        """Return what was meant by an unknown argument: the nearest option, or a bare path."""
        takes_paths = any(action.metavar == "PATH" for action in self._get_positional_actions())
        if argument.partition("=")[0] == "--rules" and takes_paths:
            return f"; {self.prog} takes the rules without an option: {self.prog} PATH"
        return suggest_nearest(argument, self.options())


def build_whole_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, each with its arguments."""
    return _build_parser(*_COMMANDS)


def _build_parser(*command_names: str) -> _Parser:
    """Return the parser of all commands; only those named have their arguments, to start fast."""
    parser = _Parser(prog="meshproof")
    parser.description = "Proves that a service mesh routes as its rules say."
    parser.add_argument("--version", action="version", version=f"meshproof {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    test = commands.add_parser("test", help=_TEST_SUMMARY, epilog=_TEST_EPILOG)
    if "test" in command_names:
        _add_options(test, "test")
    for name, summary in _MODULES.items():
        command = commands.add_parser(name, help=summary)
        if name in command_names:
            module = _import_command(name)
            command.description = module.DESCRIPTION
            module.add_arguments(command)
    mesh = commands.add_parser("mesh", help="keep a mesh up: up, status, down")
    if "mesh" in command_names:
        _add_mesh_actions(mesh)
    return parser


def _add_options(parser: _Parser, command: str) -> None:
    """Add the options of the table that a command takes."""
    from meshproof.options.command_line import add_options

    add_options(parser, command)


def _add_mesh_actions(mesh: _Parser) -> None:
    """Add the actions of `meshproof mesh`: up, status and down."""
    actions = mesh.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=_Parser
    )
    up = actions.add_parser("up", help="start the local mesh with its apps and leave it running")
    _add_options(up, "mesh")
    status = actions.add_parser(
        "status", help="say which meshes are up, and whether all of each is"
    )
    status.add_argument("-o", "--output", choices=["text", "json"], default="text")
    actions.add_parser("down", help="end every mesh that was left running")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: sys.argv); return the exit code."""
    if arguments is not None:
        with signals.interruptible():
            return _run_guarded(list(arguments))
    signals.take_over()
    output.prepare_streams()
    code = _run_guarded(sys.argv[1:])
    signals.ignore_until_exit()
    return code


def _run_guarded(arguments: list[str]) -> int:
    """Run the command; turn what ends it early into a line on standard error and an exit code."""
    try:
        code = _run_command(arguments)
    except SystemExit as exit_request:  # argparse has printed everything: --help, a wrong word
        raise SystemExit(_flush_stdout(int(exit_request.code or 0))) from None
    except MeshproofError as error:
        _print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _print_error("interrupted")
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:
        output.discard(sys.stdout)
        return errors.EXIT_FAILED
    except Exception as error:  # ours, or of this machine: no space left, no more threads
        _print_error(f"{describe_internal_error(error)}\n{_format_traceback()}")
        return errors.EXIT_INTERNAL
    return _flush_stdout(code)


def _format_traceback() -> str:
    """Return the traceback of the current exception."""
    return traceback.format_exc().rstrip()


def _flush_stdout(code: int) -> int:
    """Flush standard output and return `code`, or EXIT_NOT_READY where that fails."""
    try:
        output.write("")
    except NotReady as error:
        _print_error(str(error))
        return errors.EXIT_NOT_READY
    return code


def _print_error(message: str) -> None:
    """Write a message to standard error; do nothing where it takes none."""
    output.print_message(f"meshproof: {message}")


def _run_command(arguments: list[str]) -> int:
    """Parse the command line and run its command; return the exit code."""
    command_name = next((word for word in arguments if not word.startswith("-")), "")
    parser = _build_parser(command_name)
    if command_name and command_name not in _COMMANDS:
        parser.error(f"unknown command '{command_name}'{suggest_nearest(command_name, _COMMANDS)}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown and options.command != "test":
        subparser: _Parser = options.parser
        subparser.error(f"unknown argument {unknown[0]}{subparser.suggest(unknown[0])}")
    if options.command is None:
        parser.print_help()
        return errors.EXIT_USAGE
    if options.command == "test":
        return _run_test(options, unknown)
    if options.command == "mesh":
        return _run_mesh(options)
    code: int = _import_command(options.command).run(options)
    return code


def _import_command(name: str) -> ModuleType:
    """Return the module of a command; `try` is a word of Python, so its module is `try_`."""
    return importlib.import_module(f"meshproof.cli.{name}{'_' * keyword.iskeyword(name)}")


def _run_test(options: argparse.Namespace, extra_arguments: list[str]) -> int:
    """Run `meshproof test` in pytest, with `extra_arguments` passed on to it."""
    from meshproof.options.sources import find_report_folder
    from meshproof.run import report_folder

    command = shlex.join(["meshproof", *sys.argv[1:]])
    path = Path(find_report_folder("test", options))
    with report_folder.claimed(path, options.mesh or "local", command) as folder:
        if folder.note:
            _print_error(f"{folder.note}: those of this run are in {folder.path}")
        return _run_promises(options, path, extra_arguments)


def _run_promises(options: argparse.Namespace, report: Path, extra_arguments: list[str]) -> int:
    """Run the promises in pytest; read the options and --rules first."""
    from meshproof.options import command_line, sources

    arguments = command_line.list_run_arguments(options)
    sources.fill_in("test", options)
    if options.each_variant and options.output in ("json", "gitlab"):
        raise UsageError("--each-variant has a document for each turn: -o jsonl prints all of them")
    # Bad rules end the run here, with their own exit code.
    turns = _load_rules(options) if options.rules else []
    from meshproof.cli import test

    if len(turns) > 1:
        prints_text = options.output in ("text", "github")
        code = test.run_turns(
            [*arguments, *extra_arguments], options.rules, turns, report, prints_text
        )
    else:
        loaded_rules = (options.rules, turns[0]) if turns else None
        arguments.append(f"--mesh-report={report}")
        code = test.run_suites([*arguments, *extra_arguments], "test", loaded_rules)
    if code == errors.EXIT_USAGE:
        _suggest_options(extra_arguments, options.parser)
    return code


def _load_rules(options: argparse.Namespace) -> list[UserRules]:
    """Return the rules of --rules; with --each-variant once for each turn."""
    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.user_rules.loading import load, load_each_variant, read_reading_options

    cluster_options = ClusterOptions(options.kubeconfig or "", options.context or "")
    reading = read_reading_options(options)
    if options.each_variant:
        return load_each_variant(options.rules, cluster_options, reading)
    return [load(options.rules, cluster_options, reading)]


def _suggest_options(arguments: list[str], parser: _Parser) -> None:
    """Suggest the nearest option for each argument that no parser knows."""
    option_names = parser.options()
    for word in (word.partition("=")[0] for word in arguments if word.startswith("--")):
        if word not in option_names and (suggestion := suggest_nearest(word, option_names)):
            _print_error(f"{word}{suggestion}")


def _run_mesh(options: argparse.Namespace) -> int:
    """Run one action of `meshproof mesh`."""
    actions = {"up": _start_mesh, "status": _print_meshes, "down": _stop_meshes}
    return actions[options.action](options)


def _start_mesh(options: argparse.Namespace) -> int:
    """Start the local mesh, leave it running and print its addresses."""
    from meshproof.options.sources import fill_in

    fill_in("mesh", options)
    from meshproof.mesh.local import kept_mesh

    mesh, is_new = kept_mesh.start_kept_mesh(options.mtls.upper(), options.port, options.envoy)
    output.write(
        f"The local mesh is up{'' if is_new else ' already'}: {mesh.pods} pods behind {mesh.url}\n"
        f"  productpage   {mesh.url}/productpage\n"
        f"  orders        {mesh.url}/orders\n"
        "End it with `meshproof mesh down`.\n"
    )
    return errors.EXIT_PASSED


def _print_meshes(options: argparse.Namespace) -> int:
    """Print each running mesh; return EXIT_NOT_READY unless all of each is up."""
    from meshproof.mesh.local import kept_mesh

    meshes = kept_mesh.list_kept_meshes()
    if options.output == "json":
        output.print_json([{**asdict(mesh), "whole": mesh.is_whole} for mesh in meshes])
    else:
        for mesh in meshes:
            output.write(f"{mesh}\n")
        hint = "End it with `meshproof mesh down`." if meshes else "No mesh was left running."
        output.print_line(hint)
    are_whole = [mesh.is_whole for mesh in meshes]
    return errors.EXIT_PASSED if are_whole and all(are_whole) else errors.EXIT_NOT_READY


def _stop_meshes(options: argparse.Namespace) -> int:
    """Stop every running mesh and print how many there were."""
    from meshproof.mesh.local import kept_mesh

    count = kept_mesh.end_kept_meshes()
    ended = pluralize(count, "mesh", "meshes")
    output.print_line(f"Ended {ended}." if count else "No mesh was up.")
    return errors.EXIT_PASSED


if __name__ == "__main__":
    sys.exit(main())
