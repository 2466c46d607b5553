"""`meshproof test`: promises under pytest, with our console in place of pytest's.

The bundled promises run with their own pytest configuration: nothing in the current folder takes
part. Tests of the user, selected by path, run with the user's configuration.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.terminal import TerminalReporter

from meshproof.base import errors, signals
from meshproof.base.errors import MeshproofError, UsageError
from meshproof.base.escaping import escape_line
from meshproof.base.output import print_message, write
from meshproof.options.sources import read_run_options
from meshproof.options.table import RunOptions
from meshproof.plugin import settings
from meshproof.plugin.recorder import Recorder
from meshproof.plugin.run_context import get_context
from meshproof.run import report_folder

if TYPE_CHECKING:
    import argparse

    from meshproof.user_rules.loading import UserRules

#: pytest's configuration for the bundled promises.
_CONFIGURATION = Path(__file__).with_name("bundled_pytest.ini")
#: Variables from which pytest reads options and plugins.
_PYTEST_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
#: Names the plugin: a user's environment may keep pytest from loading installed plugins.
_PLUGIN_OPTIONS = ("-p", "meshproof.plugin", "-s")
#: Hypothesis, where it is installed, is imported at a run's end: a fifth of its start for nothing.
_NO_HYPOTHESIS = ("-p", "no:hypothesispytest")
_NOT_FOR_BUNDLED = (
    "the bundled promises have a pytest configuration of their own; give the PATH of your tests "
    "to run them with yours"
)


def run_suites(
    arguments: list[str],
    command: str = "test",
    loaded_rules: tuple[Sequence[str], UserRules] | None = None,
) -> int:
    """Run the suites with pytest `arguments`, our console in place of pytest's.

    `command` is the command that runs them: variables and files set what that one takes.
    `loaded_rules` are the paths of rules that were read already, and what was read. Paths in
    `arguments` are run in place of the packaged suites, with the configuration that pytest finds
    for them. Returns the exit code of `meshproof` (errors.EXIT_CODES).
    """
    plugin_options = [f"--mesh-cli={command}", *_PLUGIN_OPTIONS]
    observer: _RunObserver = _BundledRunObserver(loaded_rules)
    # Not in an `except`: what a user's test raises would be shown as if our exception led to it.
    with contextlib.suppress(_UserTestsNamed), _hide_pytest_variables():
        options = [*_list_bundled_options(), *plugin_options]
        status = pytest.main([*options, *arguments], plugins=[observer])
        return observer.choose_exit_code(status)
    observer = _RunObserver(loaded_rules)
    status = pytest.main([*plugin_options, *arguments], plugins=[observer])
    return observer.choose_exit_code(status)


def run_turns(
    arguments: list[str],
    paths: Sequence[str],
    turns: Sequence[UserRules],
    report: Path,
    prints_text: bool,
) -> int:
    """Run the suites once for each turn of the objects that have one name; return the exit code.

    Each turn is a run of its own, with its own reports below `report`; where it `prints_text`, the
    turn comes first, and the outcomes of all last.
    """
    report_folder.remove_turns(report)
    codes: list[int] = []
    for number, user_rules in enumerate(turns, start=1):
        if codes:
            signals.heed_again()  # the run before ignores them at its end
        if prints_text:
            write(f"\n{escape_line(user_rules.variant)}\n")
        folder = report_folder.find_turn(report, number)
        with report_folder.claimed(folder, "local", user_rules.variant):
            turn_arguments = [*arguments, f"--mesh-report={folder}"]
            codes.append(run_suites(turn_arguments, "test", (paths, user_rules)))
    if prints_text:
        lines = [
            f"{errors.EXIT_CODES[code]}: {escape_line(user_rules.variant)}"
            for user_rules, code in zip(turns, codes, strict=True)
        ]
        write("\n".join(["", *lines, ""]))
    report_folder.keep(report)
    return errors.choose_exit_code(codes)


def _list_bundled_options() -> tuple[str, ...]:
    """Return the pytest options that select our configuration and no other."""
    configuration = f"--config-file={_CONFIGURATION}", f"--rootdir={_find_suites_folder()}"
    return *configuration, "--noconftest", "-p", "no:cacheprovider", *_NO_HYPOTHESIS


def _find_suites_folder() -> Path:
    """Return the folder of the bundled suites, which in a checkout is outside the package."""
    spec = find_spec("meshproof.suites")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("meshproof.suites is not installed")
    return Path(spec.submodule_search_locations[0])


@contextlib.contextmanager
def _hide_pytest_variables() -> Iterator[None]:
    """Unset the variables from which pytest reads options, and restore them at the end."""
    hidden = {name: os.environ.pop(name) for name in _PYTEST_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


class _UserTestsNamed(Exception):
    """The arguments name tests of the user, which need the user's configuration."""


class _RunObserver:
    """A pytest plugin: holds back pytest's output and turns its status into our exit code.

    The output is printed only when pytest reports an error.
    """

    #: Whether the run is over the bundled promises.
    bundled = False

    def __init__(self, loaded_rules: tuple[Sequence[str], UserRules] | None) -> None:
        self.loaded_rules = loaded_rules
        self.recorder: Recorder | None = None
        self.output = io.StringIO()
        self.error: BaseException | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Iterator[None]:
        """Hand on the rules that were read; switch pytest-xdist off before it reads its options.

        A run is one process. Raises pytest.UsageError for an option that cannot be used.
        """
        try:
            context = get_context(config)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        if self.loaded_rules and tuple(self.loaded_rules[0]) == context.options.rules:
            context.user_rules = self.loaded_rules[1]
            context.notes += filter(None, [context.user_rules.variant])
            context.notes += context.user_rules.world_notes
        if distribution := settings.describe_distribution(config):
            settings.disable_distribution(config)
            context.notes.append(
                f"{distribution} is not used: one mesh and one error budget are shared by all "
                "checks; --mesh-workers sets how many requests go out at a time"
            )
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Store the recorder; redirect pytest's terminal reporter to a buffer."""
        self.recorder = config.pluginmanager.get_plugin("meshproof.plugin.recorder")
        if config.pluginmanager.unregister(name="terminalreporter") is not None:
            reporter = TerminalReporter(config, self.output)
            reporter.__dict__["pytest_keyboard_interrupt"] = _InterruptPrinter(reporter).show
            config.pluginmanager.register(reporter, "terminalreporter")

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Store the error that ended the whole run."""
        self.error = excinfo.value

    def choose_exit_code(self, status: int) -> int:
        """Return the exit code for pytest's `status`; print pytest's output if it has an error."""
        recorder = self.recorder
        if recorder and recorder.run.interrupted:
            return recorder.run.exit_code
        if signals.is_ending():
            raise KeyboardInterrupt  # before the run began
        if isinstance(self.error, MeshproofError):
            return self.error.exit_code  # endings.py has printed it
        if status == pytest.ExitCode.INTERNAL_ERROR:
            return self._end_by_internal_error(self.error or RuntimeError("pytest cannot begin"))
        if recorder is None or status == pytest.ExitCode.USAGE_ERROR:
            print_message(self.output.getvalue().rstrip())
            return UsageError.exit_code
        if recorder.collection_failed and self.bundled:
            return self._end_by_internal_error(RuntimeError("a promise cannot be collected"))
        if recorder.collection_failed:
            print_message(self.output.getvalue().rstrip())
            return UsageError.exit_code
        if not recorder.run.results and status != pytest.ExitCode.INTERRUPTED:
            print_message(self.output.getvalue().rstrip())
            print_message("meshproof: no promise was selected: nothing was checked")
            return UsageError.exit_code
        if recorder.write_error and not recorder.run.exit_code:
            return UsageError.exit_code  # as if the folder had been unusable from the start
        return recorder.run.exit_code

    def _end_by_internal_error(self, error: BaseException) -> int:
        """Print the error in one line, then pytest's output; return EXIT_INTERNAL."""
        print_message(f"meshproof: {errors.describe_internal_error(error)}")
        print_message(self.output.getvalue().rstrip())
        return errors.EXIT_INTERNAL


class _BundledRunObserver(_RunObserver):
    """Selects the bundled promises, unless the arguments name tests of the user."""

    bundled = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config, args: list[str]) -> None:
        """Add the bundled suites to the arguments, once all options are parsed.

        Raises _OwnTests, or UsageError for an option that the bundled promises do not take.
        """
        options = early_config.known_args_namespace
        if options.pyargs or any(_is_path(argument) for argument in options.file_or_dir):
            raise _UserTestsNamed
        for name, value, expected in (
            ("-c", options.inifilename, str(_CONFIGURATION)),
            ("--rootdir", options.rootdir, str(_find_suites_folder())),
            ("--confcutdir", options.confcutdir, str(_CONFIGURATION.parent)),
            ("--override-ini", options.override_ini or None, None),
        ):
            if value != expected:
                raise pytest.UsageError(f"{name}: {_NOT_FOR_BUNDLED}")
        if not options.file_or_dir:
            suites = _select_suites(_read_options(options))
            args += ["--pyargs", *suites]
            options.pyargs, options.file_or_dir = True, suites


def _is_path(argument: str) -> bool:
    """Return whether an argument is a path of tests, not the value of an unknown option."""
    return Path(argument.partition("::")[0]).exists()


def _read_options(namespace: argparse.Namespace) -> RunOptions:
    """Return the options of the run. Raises pytest.UsageError for one that cannot be used."""
    try:
        return read_run_options(namespace.mesh_cli, namespace)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _select_suites(options: RunOptions) -> Sequence[str]:
    """Return the modules of the bundled suites to run."""
    names = ["productpage", "smoke", "control_plane"] if options.smoke else []
    names += ["own_rules"] if options.rules else []
    return [f"meshproof.suites.test_{name}" for name in names] or ["meshproof.suites"]


class _InterruptPrinter:
    """Prints an interrupt without its traceback, which takes pytest a second to render."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter

    def show(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Print a new, bare KeyboardInterrupt instead of `excinfo`."""
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            bare_interrupt = pytest.ExceptionInfo.from_current()
        TerminalReporter.pytest_keyboard_interrupt(self._reporter, bare_interrupt)
