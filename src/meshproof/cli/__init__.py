"""The `meshproof` command. Starts light: each command imports what it needs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn, TypeAlias, cast

from meshproof import __version__
from meshproof.base import errors, signals
from meshproof.base.errors import (
    MeshproofError,
    NotReady,
    describe_exit_codes,
    describe_internal_error,
    nearest,
)

#: Commands with a module of their own, `<command>.py`, and what `--help` says of each.
_MODULES = {
    "judge": "judge labels from any log: --expect v1=50,v2=50 < labels.txt",
    "lint": "say what is wrong with rule files: PATH ... [-o text|json|sarif]",
    "plan": "list the cases that follow from rule files, and the routes that they cover: PATH ...",
    "smoke": "look whether the mesh of a cluster works, every night: [--context NAME]",
    "rbac": "print the rights that a run needs: [--for smoke|test] [--cronjob --image IMAGE]",
    "cleanup": "remove what killed runs have left, in a cluster and on this machine",
    "convert": "turn rules of Istio 0.x into those of today, proven the same: PATH ... [-o FILE]",
    "images": "the images that a run on a cluster needs: list, pull, push [--image-prefix PREFIX]",
}
_COMMANDS = ("test", *_MODULES, "mesh")
_TEST_EPILOG = (
    "Every other argument goes to pytest: -k, -m, -x, --maxfail, -v, -q, --junitxml, -p, -W, and "
    "every --mesh-... (`pytest --help` lists them). The bundled promises, and the cases of "
    "--rules, have a pytest configuration of their own: ini files, conftest.py and PYTEST_... "
    "variables of this place are not read, and -c, --rootdir, --confcutdir and -o are refused. "
    "With a PATH of your own tests, or --pyargs MODULE, your configuration holds in full. A run is "
    "one process: -n of pytest-xdist is not used."
)


class _Parser(argparse.ArgumentParser):
    """An argument parser that ends with 64 and names the nearest word."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += nearest(choice[1], re.findall(r"[\w-]+", choice[2]))
        self.print_usage(sys.stderr)
        self.exit(errors.EXIT_USAGE, f"{self.prog}: {message}\n")

    def format_help(self) -> str:
        """Return the help; the exit codes are at the end of it, whatever the command."""
        width = shutil.get_terminal_size().columns - 2
        return f"{super().format_help()}\n{textwrap.fill(describe_exit_codes(), width)}\n"

    def options(self) -> list[str]:
        """Return the names of its options."""
        return re.findall(r"(?<!\w)--[\w-]+", self.format_help())


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _parser(chosen: str) -> _Parser:
    """Return the parser; of the commands with a module the arguments of the chosen one alone."""
    parser = _Parser(prog="meshproof", description=__doc__.split(".")[0])
    parser.description = "Proves that a service mesh routes as its rules say."
    parser.add_argument("--version", action="version", version=f"meshproof {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_test(commands)
    for name, words in _MODULES.items():
        command = commands.add_parser(name, help=words)
        if name == chosen:
            module = importlib.import_module(f"meshproof.cli.{name}")
            command.description = module.DESCRIPTION
            module.add_arguments(command)
    _add_mesh(commands)
    return parser


def _add_test(commands: _Commands) -> None:
    test = commands.add_parser(
        "test",
        help="check every promise; reports go to ./meshproof-report/",
        epilog=_TEST_EPILOG,
    )
    test.add_argument("--mesh", default="local", metavar="NAME", help="local (default) or cluster")
    test.add_argument("--context", metavar="NAME", help="cluster: context of the kubeconfig")
    test.add_argument("--kubeconfig", metavar="PATH", help="cluster: default as kubectl finds it")
    test.add_argument(
        "--provider", metavar="NAME", help="cluster: make one by kind, minikube or k3d; or external"
    )
    test.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="PATH",
        help="check your own rules instead: every case that follows from these files, or from "
        "those of a live namespace, cluster:[CONTEXT/]NAMESPACE",
    )
    test.add_argument(
        "--report", default="meshproof-report", metavar="DIR", help="default: %(default)s"
    )


def _add_mesh(commands: _Commands) -> None:
    mesh = commands.add_parser("mesh", help="keep a mesh up: up, status, down")
    actions = mesh.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=_Parser
    )
    up = actions.add_parser("up", help="start the local mesh with its apps and leave it running")
    up.add_argument("--port", type=int, default=0, help="ingress port (default: a free one)")
    up.add_argument("--mtls", default="permissive", choices=["permissive", "strict", "disable"])
    up.add_argument("--envoy", metavar="PATH", help="the Envoy to run (default: the wheel's)")
    status = actions.add_parser(
        "status", help="say which meshes are up, and whether all of each is"
    )
    status.add_argument("-o", "--output", choices=["text", "json"], default="text")
    actions.add_parser("down", help="end every mesh that was left running")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: sys.argv); return the exit code."""
    if arguments is not None:
        with signals.interruptible():
            return _guarded(list(arguments))
    signals.take()
    code = _guarded(sys.argv[1:])
    signals.ignore()
    return code


def _guarded(given: list[str]) -> int:
    """Run the command; turn what ends it early into a line on standard error and an exit code."""
    try:
        code = _run(given)
    except SystemExit as ended:  # argparse has said all: --help, a wrong word
        raise SystemExit(_flushed(int(ended.code or 0))) from None
    except MeshproofError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_stdout()
        return errors.EXIT_FAILED
    except Exception as error:  # ours, or of this machine: no space left, no more threads
        _complain(f"{describe_internal_error(error)}\n{_show_traceback()}")
        return errors.EXIT_INTERNAL
    return _flushed(code)


def _show_traceback() -> str:
    """Return where the error at hand was raised, for whoever is to mend it."""
    return traceback.format_exc().rstrip()


def _flushed(code: int) -> int:
    """Return `code` once everything is written, or that of an output that takes no more."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head`: whoever reads has seen enough
        _leave_stdout()
    except OSError as error:
        _complain(f"standard output: {error.strerror}")
        _leave_stdout()
        return errors.EXIT_NOT_READY
    return code


def _leave_stdout() -> None:
    """Send what is still buffered to nowhere, so that nothing fails again on exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"meshproof: {text}\n")


def _say(text: str) -> None:
    try:
        if sys.stdout is not None:  # closed by the caller: `>&-`
            sys.stdout.write(f"{text}\n")
    except BrokenPipeError:
        _leave_stdout()
    except OSError as error:
        raise NotReady(f"standard output: {error.strerror}") from None


def _run(given: list[str]) -> int:
    first = next((word for word in given if not word.startswith("-")), "test")
    parser = _parser(first)
    if first not in _COMMANDS:
        parser.error(f"unknown command '{first}'{nearest(first, _COMMANDS)}")
    options, rest = parser.parse_known_args(given)
    if rest and options.command != "test":
        chosen: _Parser = options.parser
        chosen.error(f"unknown argument {rest[0]}{nearest(rest[0], chosen.options())}")
    if options.command is None:
        parser.print_help()
        return errors.EXIT_USAGE
    if options.command == "test":
        return _test(options, rest)
    if options.command == "mesh":
        return _mesh(options)
    module = importlib.import_module(f"meshproof.cli.{options.command}")
    code: int = module.run(options)
    return code


def _test(options: argparse.Namespace, rest: list[str]) -> int:
    from meshproof.cli.test import run_suites
    from meshproof.mesh.protocol import check_name

    check_name(options.mesh)
    if options.rules:
        from meshproof.mesh.protocol import ClusterOptions
        from meshproof.user_rules.loading import load

        reach = ClusterOptions(options.kubeconfig or "", options.context or "")
        # What is wrong with them ends the run here, with its own exit code.
        load(options.rules, reach)
    own = [f"--mesh-rules={path}" for path in options.rules]
    chosen = ["--mesh", options.mesh, "--mesh-report", options.report, *own]
    for name in ("context", "kubeconfig", "provider"):
        if getattr(options, name):
            chosen.append(f"--mesh-{name}={getattr(options, name)}")
    code = run_suites([*chosen, *rest])
    if code == errors.EXIT_USAGE:
        _hint(rest, options.parser)
    return code


def _hint(rest: list[str], parser: _Parser) -> None:
    """Name the option that was meant where pytest says that it does not know one of ours."""
    from meshproof import plugin

    names = _Names()
    plugin.pytest_addoption(cast("Any", names))
    known = [*parser.options(), *names.found]
    for word in (word.partition("=")[0] for word in rest if word.startswith("--")):
        if word not in known and (said := nearest(word, known)):
            _complain(f"{word}{said}")


class _Names:
    """Stands in for pytest's parser to learn the names of our options."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def getgroup(self, *words: str) -> _Names:
        return self

    def addoption(self, name: str, **settings: object) -> None:
        self.found.append(name)


def _mesh(options: argparse.Namespace) -> int:
    actions = {"up": _up, "status": _status, "down": _down}
    return actions[options.action](options)


def _up(options: argparse.Namespace) -> int:
    from meshproof.mesh.local import keep

    kept, new = keep.up(options.mtls.upper(), options.port, options.envoy)
    _say(
        f"The local mesh is up{'' if new else ' already'}: {kept.pods} pods behind {kept.url}\n"
        f"  productpage   {kept.url}/productpage\n"
        f"  orders        {kept.url}/orders\n"
        "End it with `meshproof mesh down`."
    )
    return errors.EXIT_PASSED


def _status(options: argparse.Namespace) -> int:
    from meshproof.mesh.local import keep

    found = keep.status()
    if options.output == "json":
        _say(json.dumps([{**asdict(kept), "whole": kept.whole} for kept in found], indent=1))
    else:
        for kept in found:
            _say(str(kept))
        _say("End it with `meshproof mesh down`." if found else "No mesh was left running.")
    whole = [kept.whole for kept in found]
    return errors.EXIT_PASSED if whole and all(whole) else errors.EXIT_NOT_READY


def _down(options: argparse.Namespace) -> int:
    from meshproof.mesh.local import keep

    ended = keep.down()
    _say(f"Ended {ended} mesh{'' if ended == 1 else 'es'}." if ended else "No mesh was up.")
    return errors.EXIT_PASSED


if __name__ == "__main__":
    sys.exit(main())
