"""`meshproof test`: the suites under pytest, with our console in place of pytest's."""

from __future__ import annotations

import io
import sys

import pytest
from _pytest.terminal import TerminalReporter

from meshproof.base import signals
from meshproof.base.errors import EXIT_FAILED, UsageError
from meshproof.plugin.recorder import Recorder


def run_suites(arguments: list[str]) -> int:
    """Run the suites with pytest `arguments`, our console in place of pytest's.

    Paths in `arguments` are run in place of the packaged suites. Returns the exit code of
    `meshproof` (architecture: words and exit codes).
    """
    keeper = _Keeper()
    status = pytest.main(
        ["--mesh-cli", "-p", "no:cacheprovider", "-s", *arguments], plugins=[keeper]
    )
    recorder = keeper.recorder
    if recorder and recorder.run.interrupted:
        return recorder.run.exit_code
    if signals.ending():
        raise KeyboardInterrupt  # before there was a run to tell of
    if recorder is None or status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR):
        sys.stderr.write(keeper.output.getvalue())
        return EXIT_FAILED if status == pytest.ExitCode.INTERNAL_ERROR else UsageError.exit_code
    if recorder.broken:
        sys.stderr.write(keeper.output.getvalue())
        return UsageError.exit_code
    if not recorder.run.results and status != pytest.ExitCode.INTERRUPTED:
        sys.stderr.write(keeper.output.getvalue())
        sys.stderr.write("meshproof: no promise was selected: nothing was checked\n")
        return UsageError.exit_code
    if recorder.unwritten and not recorder.run.exit_code:
        return UsageError.exit_code  # as if the folder had been unusable from the start
    return recorder.run.exit_code


class _Keeper:
    """Keeps pytest's own output for the case that pytest has an error to tell."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.output = io.StringIO()

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Turn pytest's terminal reporter aside, take hold of the recorder."""
        self.recorder = config.pluginmanager.get_plugin("meshproof.plugin.recorder")
        if config.pluginmanager.unregister(name="terminalreporter") is not None:
            quiet = TerminalReporter(config, self.output)
            quiet.__dict__["pytest_keyboard_interrupt"] = _Interrupted(quiet).show
            config.pluginmanager.register(quiet, "terminalreporter")


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
