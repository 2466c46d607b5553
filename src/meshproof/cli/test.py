"""`meshproof test`: promises under pytest, with our console in place of pytest's.

The promises that meshproof brings have a pytest configuration of their own: nothing of the folder
in which the command runs takes part. A user's own tests, given by their path, have the user's.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from meshproof.base import errors, signals
from meshproof.base.errors import MeshproofError, UsageError
from meshproof.plugin import settings
from meshproof.plugin.recorder import Recorder

#: pytest's configuration for the bundled promises.
_CONFIGURATION = Path(__file__).with_name("bundled_pytest.ini")
#: Variables by which pytest takes options and plugins from the environment.
_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
#: Loaded by name, too: a user's environment may keep pytest from loading installed plugins.
_OURS = ("--mesh-cli", "-p", "meshproof.plugin", "-s")
_NOT_FOR_BUNDLED = (
    "the bundled promises have a pytest configuration of their own; give the PATH of your tests "
    "to run them with yours"
)


def run_suites(arguments: list[str]) -> int:
    """Run the suites with pytest `arguments`, our console in place of pytest's.

    Paths in `arguments` are run in place of the packaged suites, with the configuration that
    pytest finds for them. Returns the exit code of `meshproof` (errors.EXIT_CODES).
    """
    keeper = _BundledKeeper()
    try:
        with _without_variables():
            status = pytest.main([*_bundled_options(), *_OURS, *arguments], plugins=[keeper])
    except _OwnTests:
        own_keeper = _Keeper()
        return own_keeper.exit_code(pytest.main([*_OURS, *arguments], plugins=[own_keeper]))
    return keeper.exit_code(status)


def _bundled_options() -> tuple[str, ...]:
    configuration = f"--config-file={_CONFIGURATION}", f"--rootdir={_suites_folder()}"
    return *configuration, "--noconftest", "-p", "no:cacheprovider"


def _suites_folder() -> Path:
    """Return the folder of the bundled suites: a folder of its own in a checkout."""
    spec = find_spec("meshproof.suites")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("meshproof.suites is not installed")
    return Path(spec.submodule_search_locations[0])


@contextlib.contextmanager
def _without_variables() -> Iterator[None]:
    """Hide the environment's options for pytest from the bundled promises."""
    hidden = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


class _OwnTests(Exception):
    """The arguments name tests of the user's own: their configuration is to be read."""


class _Keeper:
    """Keeps pytest's own output for the case that pytest has an error to tell."""

    #: Whether the tests are those that meshproof brings.
    bundled = False

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.output = io.StringIO()
        self.error: BaseException | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Iterator[None]:
        """Run in this process alone, whatever pytest-xdist was asked for: before it looks."""
        if distribution := settings.distribution(config):
            settings.stop_distribution(config)
            settings.add_note(
                config,
                f"{distribution} is not used: one mesh and one error budget are shared by all "
                "checks; --mesh-workers sets how many requests go out at a time",
            )
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Turn pytest's terminal reporter aside, take hold of the recorder."""
        self.recorder = config.pluginmanager.get_plugin("meshproof.plugin.recorder")
        if config.pluginmanager.unregister(name="terminalreporter") is not None:
            quiet = TerminalReporter(config, self.output)
            quiet.__dict__["pytest_keyboard_interrupt"] = _Interrupted(quiet).show
            config.pluginmanager.register(quiet, "terminalreporter")

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember what has ended the whole run."""
        self.error = excinfo.value

    def exit_code(self, status: int) -> int:
        """Return the exit code of a run that ended with `status`; say why where pytest knows."""
        recorder = self.recorder
        if recorder and recorder.run.interrupted:
            return recorder.run.exit_code
        if signals.ending():
            raise KeyboardInterrupt  # before there was a run to tell of
        if isinstance(self.error, MeshproofError):
            return self.error.exit_code  # endings.py has said it
        if status == pytest.ExitCode.INTERNAL_ERROR:
            return self._end_by_internal_error(self.error or RuntimeError("pytest cannot begin"))
        if recorder is None or status == pytest.ExitCode.USAGE_ERROR:
            sys.stderr.write(self.output.getvalue())
            return UsageError.exit_code
        if recorder.broken and self.bundled:
            return self._end_by_internal_error(RuntimeError("a promise cannot be collected"))
        if recorder.broken:
            sys.stderr.write(self.output.getvalue())
            return UsageError.exit_code
        if not recorder.run.results and status != pytest.ExitCode.INTERRUPTED:
            sys.stderr.write(self.output.getvalue())
            sys.stderr.write("meshproof: no promise was selected: nothing was checked\n")
            return UsageError.exit_code
        if recorder.unwritten and not recorder.run.exit_code:
            return UsageError.exit_code  # as if the folder had been unusable from the start
        return recorder.run.exit_code

    def _end_by_internal_error(self, error: BaseException) -> int:
        """Say what went wrong in a few words; what pytest says of it comes after them."""
        sys.stderr.write(f"meshproof: {errors.describe_internal_error(error)}\n")
        sys.stderr.write(self.output.getvalue())
        return errors.EXIT_INTERNAL


class _BundledKeeper(_Keeper):
    """Selects the bundled promises, unless the arguments name tests of the user's own."""

    bundled = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config, args: list[str]) -> None:
        """Add the promises to the arguments, now that every option is known.

        Raises _OwnTests, or UsageError for an option that the bundled promises do not take.
        """
        options = early_config.known_args_namespace
        if options.pyargs or any(_is_path(argument) for argument in options.file_or_dir):
            raise _OwnTests
        for name, value, expected in (
            ("-c", options.inifilename, str(_CONFIGURATION)),
            ("--rootdir", options.rootdir, str(_suites_folder())),
            ("--confcutdir", options.confcutdir, str(_CONFIGURATION.parent)),
            ("--override-ini", options.override_ini or None, None),
        ):
            if value != expected:
                raise pytest.UsageError(f"{name}: {_NOT_FOR_BUNDLED}")
        if not options.file_or_dir:
            suites = _bundled_suites(options.mesh_smoke, bool(options.mesh_rules))
            args += ["--pyargs", *suites]
            options.pyargs, options.file_or_dir = True, suites


def _is_path(argument: str) -> bool:
    """Say whether an argument is the path of tests; else it is a value of an unknown option."""
    return Path(argument.partition("::")[0]).exists()


def _bundled_suites(smoke: bool, own_rules: bool) -> Sequence[str]:
    """Return the modules of the bundled suites that a run is about."""
    parts = ["productpage", "smoke", "control_plane"] if smoke else []
    parts += ["own_rules"] if own_rules else []
    return [f"meshproof.suites.test_{name}" for name in parts] or ["meshproof.suites"]


class _Interrupted:
    """Keeps pytest from picturing the place where it was interrupted: that takes it a second."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self._reporter = reporter

    def show(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Picture an interrupt of no place in place of `excinfo`."""
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            nowhere = pytest.ExceptionInfo.from_current()
        TerminalReporter.pytest_keyboard_interrupt(self._reporter, nowhere)
