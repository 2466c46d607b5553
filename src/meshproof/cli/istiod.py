"""`meshproof istiod`: fetches istiods for --mesh istiod, and lists those that are here."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable

from meshproof.base import errors
from meshproof.base.errors import NotReady, UsageError
from meshproof.base.output import print_line
from meshproof.mesh.cluster.api import image_tools
from meshproof.mesh.istiod import versions
from meshproof.options import command_line, sources

DESCRIPTION = (
    "pull takes the istiod of each VERSION out of the image istio/pilot of that tag and keeps it "
    "on this machine: `meshproof test --mesh istiod --istiod VERSION` then needs no network. It "
    "calls docker, podman, nerdctl, crane or skopeo, the first that is on PATH. list prints the "
    "versions that are here. Delete a file that it prints to fetch that version anew."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=type(parser)
    )
    actions.add_parser("list", help="print the versions that are on this machine")
    pull = actions.add_parser("pull", help="fetch istiods to this machine")
    pull.add_argument("versions", nargs="+", metavar="VERSION", help="1.29.2, say")
    command_line.add_options(pull, "istiod")
    pull.add_argument("--tool", metavar="NAME", default="", help=", ".join(image_tools.TOOLS))


def run(options: argparse.Namespace) -> int:
    """List or fetch istiods; return the exit code.

    Raises UsageError for what is no version, NotReady when one cannot be fetched (the others are,
    all the same).
    """
    if options.action == "list":
        for version in versions.list_kept():
            print_line(f"{version} -> {versions.find_kept(version)}")
        return errors.EXIT_PASSED
    sources.fill_in("istiod", options)
    _check_versions(options.versions)
    failures: list[str] = []
    for version in dict.fromkeys(options.versions):
        try:
            path = versions.get_istiod(version, options.image_prefix or "", options.tool)
        except NotReady as error:
            failures.append(str(error))
        else:
            print_line(f"{version} -> {path}")
    if failures:
        raise NotReady("\n".join(failures))
    return errors.EXIT_PASSED


def _check_versions(texts: Iterable[str]) -> None:
    """Raise UsageError for the first text that names no version."""
    for text in texts:
        if not versions.is_version(text):
            plain = re.sub("^v", "", text)
            hint = f"; did you mean '{plain}'?" if versions.is_version(plain) else ""
            raise UsageError(f"istiod pull {text}: expected a version such as 1.29.2{hint}")
