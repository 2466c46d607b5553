"""Where the value of an option comes from: the command line, a variable, a file, the default.

The first that gives one counts. All are held to the same range; a message names the place.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from meshproof.base.errors import UsageError
from meshproof.options.config_file import ConfigFile, read_config_file
from meshproof.options.kinds import PathText, Text
from meshproof.options.table import REPORT_FOLDER, RUN_OPTIONS, Option, RunOptions, list_options

if TYPE_CHECKING:
    import argparse

#: What the command line gives for an option: text, texts, True; None, () or False for nothing.
Given = str | list[str] | bool | None


class Setting(NamedTuple):
    """The value of an option and how a message names it; the label of a default is empty."""

    value: object
    label: str


def read_run_options(command: str, namespace: argparse.Namespace) -> RunOptions:
    """Return the options of a run under pytest.

    `command` is who runs pytest, of table.TAKERS; from variables and files it gets what that
    command takes. `namespace` holds what pytest's command line gave. Raises UsageError for a value
    out of its range, naming where it came from, and for a file that cannot be used.
    """
    settings = _read_settings(
        RUN_OPTIONS,
        command,
        lambda option: getattr(namespace, option.mesh_attribute, None),
        lambda option: option.mesh_flag,
    )
    values = {option.attribute: setting.value for option, setting in settings.items()}
    return RunOptions(**values, labels=_list_labels(settings))  # type: ignore[arg-type]


def fill_in(command: str, namespace: argparse.Namespace) -> None:
    """Set the options of a command to their values, and `labels` to option -> label.

    Raises what `read_run_options` raises.
    """
    spellings: Mapping[str, str] = getattr(namespace, "spellings", {})
    settings = _read_settings(
        list_options(command),
        command,
        lambda option: getattr(namespace, option.attribute),
        lambda option: spellings.get(option.attribute, f"--{option.name}"),
    )
    for option, setting in settings.items():
        setattr(namespace, option.attribute, setting.value)
    namespace.labels = _list_labels(settings)


def find_report_folder(command: str, namespace: argparse.Namespace) -> str:
    """Return the folder for the reports of a command, before its other options are read.

    A wrong option is to be told there, too: so this one raises nothing.
    """
    (option,) = (option for option in RUN_OPTIONS if option.name == "report")
    given: str | None = namespace.report
    if given:
        return given
    with contextlib.suppress(UsageError):
        settings = _read_settings((option,), command, lambda _: None, lambda _: "")
        return str(settings[option].value or REPORT_FOLDER)
    return REPORT_FOLDER


def _list_labels(settings: Mapping[Option, Setting]) -> dict[str, str]:
    """Return option -> label, of the options that something sets."""
    return {option.name: setting.label for option, setting in settings.items() if setting.label}


def _read_settings(
    options: tuple[Option, ...],
    command: str,
    get_given: Callable[[Option], Given],
    spell: Callable[[Option], str],
) -> dict[Option, Setting]:
    """Return the setting of each option."""
    takes_settings = any(command in option.setting_takers for option in options)
    file = read_config_file() if takes_settings else None
    return {
        option: _read_given(option, get_given(option), spell(option))
        or (_read_elsewhere(option, file) if file and command in option.setting_takers else None)
        or Setting(option.default, "")
        for option in options
    }


def _read_given(option: Option, given: Given, label: str) -> Setting | None:
    """Return what the command line sets, None for nothing."""
    if given is None or given is False or given == []:
        return None
    if given is True:
        return Setting(True, label)
    if given == "" and isinstance(option.kind, (Text, PathText)):
        return None  # --context "$CONTEXT" with an empty variable
    texts = [given] if isinstance(given, str) else given
    return _read_texts(option, texts, label)


def _read_elsewhere(option: Option, file: ConfigFile) -> Setting | None:
    """Return what a variable sets, else what the file sets, None for nothing."""
    for variable in option.variables:
        if text := os.environ.get(variable):
            return _read_texts(
                option, _split(text, variable) if option.is_repeatable else [text], variable
            )
    if option.name not in file.values or os.environ.get(option.hidden_by):
        return None
    return Setting(file.read(option), file.label(option.name))


def _split(text: str, variable: str) -> list[str]:
    """Return the values of a variable that holds several, written as in a shell."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{variable} {text}: {error}") from None


def _read_texts(option: Option, texts: list[str], label: str) -> Setting:
    """Return the setting of one or several values. Raises UsageError for a wrong one."""
    values = []
    for text in texts:
        try:
            values.append(option.kind.read_text(text))
        except ValueError as error:
            raise UsageError(f"{label} {text}: {error}") from None
    return Setting(tuple(values) if option.is_repeatable else values[-1], label)
