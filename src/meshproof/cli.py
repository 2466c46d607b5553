"""The `meshproof` command. Starts light: each command imports what it needs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from meshproof import __version__, errors, judge_command
from meshproof.errors import MeshproofError, nearest

_EXIT_CODES = (
    "exit codes: 0 passed, 1 failed, 2 interrupted, 3 inconclusive, 64 usage, 65 bad rule file, "
    "69 mesh not ready"
)


class _Parser(argparse.ArgumentParser):
    """An argument parser that ends with 64 and names the nearest command."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(errors.EXIT_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="meshproof", description=__doc__.split(".")[0], epilog=_EXIT_CODES)
    parser.description = "Proves that a service mesh routes as its rules say."
    parser.add_argument("--version", action="version", version=f"meshproof {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    test = commands.add_parser(
        "test",
        help="check every promise; reports go to ./meshproof-report/",
        epilog="Every other argument goes to pytest: --mesh-mtls strict, -k cookie, PATH of your "
        "own tests. `pytest --help` lists those that begin with --mesh.",
    )
    test.add_argument("--mesh", default="local", metavar="NAME", help="local (default)")
    test.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="PATH",
        help="check your own rules instead: every case that follows from these files",
    )
    test.add_argument(
        "--report", default="meshproof-report", metavar="DIR", help="default: %(default)s"
    )
    judge = commands.add_parser(
        "judge",
        help="judge labels from any log: --expect v1=50,v2=50 < labels.txt",
        description=judge_command.DESCRIPTION,
    )
    judge_command.add_arguments(judge)
    mesh = commands.add_parser("mesh", help="keep a mesh up: up, status, down")
    actions = mesh.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=_Parser
    )
    up = actions.add_parser("up", help="start the local mesh with its apps and leave it running")
    up.add_argument("--port", type=int, default=0, help="ingress port (default: a free one)")
    up.add_argument("--mtls", default="permissive", choices=["permissive", "strict", "disable"])
    up.add_argument("--envoy", metavar="PATH", help="the Envoy to run (default: the wheel's)")
    actions.add_parser("status", help="say which meshes are up")
    actions.add_parser("down", help="end every mesh that was left running")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: sys.argv); return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    _check_command(parser, given)
    options, rest = parser.parse_known_args(given)
    if rest and options.command != "test":
        parser.error(f"unknown argument {rest[0]}")
    if options.command is None:
        parser.print_help()
        return errors.EXIT_USAGE
    commands: dict[str, Callable[[], int]] = {
        "test": lambda: _test(options, rest),
        "judge": lambda: judge_command.run(options),
        "mesh": lambda: _mesh(options),
    }
    try:
        return commands[options.command]()
    except MeshproofError as error:
        sys.stderr.write(f"meshproof: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("meshproof: interrupted\n")
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.EXIT_FAILED


def _check_command(parser: argparse.ArgumentParser, given: list[str]) -> None:
    known = ("test", "judge", "mesh")
    first = next((word for word in given if not word.startswith("-")), "test")
    if first not in known:
        parser.error(f"unknown command '{first}'{nearest(first, known)}")


def _test(options: argparse.Namespace, rest: list[str]) -> int:
    from meshproof.mesh.protocol import check_name
    from meshproof.recorder import run_suites

    check_name(options.mesh)
    if options.rules:
        from meshproof.own import load

        load(options.rules)  # what is wrong with them ends the run here, with its own exit code
    own = [f"--mesh-rules={path}" for path in options.rules]
    chosen = ["--mesh", options.mesh, "--mesh-report", options.report, *own]
    return run_suites([*chosen, *rest])


def _mesh(options: argparse.Namespace) -> int:
    actions = {"up": _up, "status": _status, "down": _down}
    return actions[options.action](options)


def _up(options: argparse.Namespace) -> int:
    from meshproof.mesh import keep

    kept = keep.up(options.mtls.upper(), options.port, options.envoy)
    sys.stdout.write(
        f"The local mesh is up: {kept['pods']} pods behind {kept['url']}\n"
        f"  productpage   {kept['url']}/productpage\n"
        f"  orders        {kept['url']}/orders\n"
        "End it with `meshproof mesh down`.\n"
    )
    return errors.EXIT_PASSED


def _status(options: argparse.Namespace) -> int:
    from meshproof.mesh import keep

    found = keep.status()
    for kept in found:
        sys.stdout.write(f"{json.dumps(kept)}\n")
    if not found:
        sys.stdout.write("No mesh was left running.\n")
    return errors.EXIT_PASSED if found else errors.EXIT_NOT_READY


def _down(options: argparse.Namespace) -> int:
    from meshproof.mesh import keep

    ended = keep.down()
    sys.stdout.write(f"Ended {ended} mesh{'' if ended == 1 else 'es'}.\n")
    return errors.EXIT_PASSED


if __name__ == "__main__":
    sys.exit(main())
