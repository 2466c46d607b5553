"""Adds the options of the table to a command's parser, or to pytest's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Protocol

from meshproof.options.kinds import Flag, Number, Whole
from meshproof.options.table import GROUPS, RUN_OPTIONS, Option, list_options


class GroupMaker(Protocol):
    """pytest's parser, of which only this is needed."""

    def getgroup(self, name: str, description: str = "") -> Any:
        """Return the group of options that has this name."""


class _Store(argparse.Action):
    """Stores what was given, and under which of the option's names, in `spellings`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        value: object = True if self.nargs == 0 else values
        if isinstance(self.default, list):
            value = [*getattr(namespace, self.dest), value]
        setattr(namespace, self.dest, value)
        spellings = getattr(namespace, "spellings", {})
        namespace.spellings = {**spellings, self.dest: option_string}


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options that a command takes.

    Options of a run go by two names, `--NAME` and `--mesh-NAME`. The values are text as it was
    given: `sources.fill_in` reads them.
    """
    for option in list_options(command):
        flags = [*filter(None, [option.short]), f"--{option.name}"]
        if option in RUN_OPTIONS and option.mesh_flag not in flags:
            flags.append(option.mesh_flag)
        if isinstance(option.kind, Flag):
            arguments: dict[str, Any] = {"nargs": 0, "default": False}
        else:
            arguments = _build_arguments(option)
        parser.add_argument(
            *flags, action=_Store, dest=option.attribute, help=build_help(option), **arguments
        )


def add_pytest_options(parser: GroupMaker) -> None:
    """Add `--mesh-NAME` for each option of a run; the values are text as it was given."""
    for option in RUN_OPTIONS:
        group = parser.getgroup(f"meshproof-{option.group}", f"meshproof: {GROUPS[option.group]}")
        if isinstance(option.kind, Flag):
            arguments: dict[str, Any] = {"action": "store_true"}
        else:
            arguments = _build_arguments(option)
            arguments |= {"action": "append"} if option.is_repeatable else {}
        group.addoption(option.mesh_flag, help=build_help(option), **arguments)


def list_run_arguments(namespace: argparse.Namespace) -> list[str]:
    """Return the options of a run that a command line gave, as pytest takes them.

    Call it before `sources.fill_in`, which sets the others, too.
    """
    arguments: list[str] = []
    for option in RUN_OPTIONS:
        given = getattr(namespace, option.attribute, None)
        if given is True:
            arguments.append(option.mesh_flag)
        elif given:
            texts = given if isinstance(given, list) else [given]
            arguments += [f"{option.mesh_flag}={text}" for text in texts]
    return arguments


def _build_arguments(option: Option) -> dict[str, Any]:
    """Return the arguments of argparse for an option that has a value."""
    arguments: dict[str, Any] = {
        "metavar": option.kind.metavar,
        "default": [] if option.is_repeatable else None,
    }
    if option.optional_value:
        arguments |= {"nargs": "?", "const": option.optional_value}
    return arguments


def build_help(option: Option) -> str:
    """Return the help of an option, with its range and default, as argparse takes it."""
    notes = []
    if isinstance(option.kind, (Whole, Number)):
        notes.append(option.kind.expected)
    if option.is_repeatable:
        notes.append("may be repeated")
    if default := option.describe_default():
        notes.append(f"default: {default}")
    text = f"{option.help} ({'; '.join(notes)})" if notes else option.help
    return text.replace("%", "%%")
