"""The pytest plugin: options, marks and the record of a run. Imports nothing heavy.

Without our options and fixtures a run does not change. PYTEST_DONT_REWRITE: see meshproof/__init__.
"""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshproof.base import signals
from meshproof.base.errors import BadRules, MeshproofError, UsageError
from meshproof.base.phases import Phase
from meshproof.options.command_line import add_pytest_options
from meshproof.plugin.run_context import find_context, get_context, get_options

_MARKS = (
    "promise(number, name, title): what this test proves to the user; names it in every report "
    "({addon} stands for the parameter of that name)",
    "rules(folder): the rules to serve, manifests/rules/<folder>/, in each dialect (with `routed`)",
    "needs(*features): features of the mesh without which the test is reported as not supported",
    "smoke: a test of the nightly run alone (`meshproof smoke`)",
    "checks(n): how many times this test judges (1 where it is not said); shares the run's alpha",
)
#: What a test of user rules takes: a case, an object that is not checked, or an error of lint.
_USER_RULE_PARAMETERS = ("rule_case", "rule_aside", "rule_finding")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the table; all begin with --mesh."""
    add_pytest_options(parser)
    # Which command runs pytest, if one does: it prints verdicts in place of pytest's own output.
    parser.getgroup("meshproof-run").addoption("--mesh-cli", default="", help=argparse.SUPPRESS)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other plugins bring reports of their own."""
    from meshproof.plugin import hooks

    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Register our marks and fixtures and, with --mesh-report, the recorder."""
    for line in _MARKS:
        config.addinivalue_line("markers", line)
    for path in _find_fixture_folders():
        for module in pkgutil.iter_modules([str(path)]):
            config.pluginmanager.import_plugin(f"meshproof.fixtures.{module.name}")
    for name in ("own_processes", "verdicts", "endings", "junitxml"):
        config.pluginmanager.import_plugin(f"meshproof.plugin.{name}")
    try:
        if config.option.mesh_report:
            _claim_report_folder(config)
        _check_options(config)
        if config.option.mesh_report:
            _start_recorder(config)
    except MeshproofError as error:
        raise pytest.UsageError(str(error)) from None


def _claim_report_folder(config: pytest.Config) -> None:
    """Claim the folder of --mesh-report before anything can fail; older reports are removed.

    The run's options have the claimed folder from now on. Raises UsageError where none can be
    written, and for other options that cannot be used.
    """
    from meshproof.run import report_folder

    folder = report_folder.claim(Path(config.option.mesh_report))
    config.add_cleanup(folder.release)
    context = get_context(config)
    context.options = replace(context.options, report=str(folder.path))
    if folder.note:
        context.notes.append(f"{folder.note}: those of this run are in {folder.path}")


def _check_options(config: pytest.Config) -> None:
    """Raise MeshproofError for an invalid option, before the tests are collected.

    A run that is given none of our options reads them when a test first needs one: so a mistake in
    a file does not end a run that does not use us.
    """
    if not any(getattr(config.option, name) for name in vars(config.option) if _is_ours(name)):
        return
    from meshproof.plugin import placement, settings

    options = get_options(config)
    if config.option.mesh_cli:
        settings.read_mesh_options(config)
    placement.check_sandbox(options)
    placement.check_istiod(options)
    if options.rules and (config.option.mesh_cli or config.option.mesh_rules):
        placement.check_rule_kinds(config)


def _is_ours(name: str) -> bool:
    """Say whether an attribute of pytest's options is one of ours."""
    return name == "mesh" or name.startswith("mesh_")


def _start_recorder(config: pytest.Config) -> None:
    """Register the recorder of a run with --mesh-report, and turn signals into interrupts.

    Raises UsageError where pytest-xdist distributes the tests.
    """
    from meshproof.plugin import recorder, settings

    if distribution := settings.describe_distribution(config):
        raise UsageError(
            f"{distribution} with --mesh-report: each worker would write the same reports; "
            "give -n 0, or leave --mesh-report out"
        )
    config.pluginmanager.register(recorder.Recorder(config), "meshproof.plugin.recorder")
    config.add_cleanup(signals.take_over())


def _find_fixture_folders() -> list[Path]:
    """Return the folders of the package meshproof.fixtures, without importing it."""
    from importlib.util import find_spec

    spec = find_spec("meshproof.fixtures")
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with `rules` and `routed` once for each dialect of its rules."""
    mark = metafunc.definition.get_closest_marker("rules")
    if mark is not None and "routed" in metafunc.fixturenames:
        from meshproof import manifests

        metafunc.parametrize("routed", manifests.dialects(mark.args[0]), indirect=True)
    for name in set(_USER_RULE_PARAMETERS) & set(metafunc.fixturenames):
        try:
            values = _list_values(metafunc.config, name)
        except MeshproofError as error:
            raise pytest.Collector.CollectError(str(error)) from None
        context = get_context(metafunc.config)
        context.has_excluded_test |= name == "rule_aside"
        context.has_lint_test |= name == "rule_finding"
        if values:
            ids = [getattr(value, "id", None) or value.name for value in values]
            metafunc.parametrize(name, values, ids=ids, indirect=True)


def _list_values(config: pytest.Config, parameter: str) -> Sequence[Any]:
    """Return the cases of --mesh-rules for `rule_case`, excluded objects for `rule_aside`.

    For `rule_finding` the errors that lint has found in them.
    """
    if not get_options(config).rules:
        return ()
    from meshproof.plugin import settings

    user_rules = settings.load_user_rules(config)
    if parameter == "rule_finding":
        return user_rules.lint_errors
    return user_rules.plan.cases if parameter == "rule_case" else user_rules.excluded


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put promises in the order of their numbers; fix how many checks share the run's alpha.

    Deselect tests of cases without --mesh-rules, tests of excluded objects where there are none,
    and tests of the nightly run without --mesh-smoke.
    """
    try:
        _check_excluded_objects(config, items)
        deselected = [item for item in items if _lacks_parameter(item) or _is_nightly(item)]
        if deselected:
            config.hook.pytest_deselected(items=deselected)
            items[:] = [item for item in items if item not in deselected]
        _plan_run(config, items)
    except MeshproofError as error:
        raise pytest.UsageError(str(error)) from None


def _check_excluded_objects(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Raise BadRules for what is not checked, or wrong, if no test of this run reports it."""
    if not any("rule_case" in getattr(item, "fixturenames", ()) for item in items):
        return
    context = get_context(config)
    unreported: list[Any] = []
    if not context.has_excluded_test:
        unreported += [entry for entry in _list_values(config, "rule_aside") if entry.exit_code]
    if not context.has_lint_test:
        unreported += _list_values(config, "rule_finding")
    if unreported:
        raise BadRules("\n".join(map(str, unreported)))


def _plan_run(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests that judge or need a mesh, and count their checks."""
    if any({"judge", "mesh"} & set(getattr(item, "fixturenames", ())) for item in items):
        from meshproof.plugin import settings

        items.sort(key=_read_promise_number)
        settings.plan_run(config, items)


def _lacks_parameter(item: pytest.Item) -> bool:
    """Say whether a test takes a parameter of user rules that has no value in this run."""
    names = set(_USER_RULE_PARAMETERS) & set(getattr(item, "fixturenames", ()))
    return any(not _list_values(item.config, name) for name in names)


def _is_nightly(item: pytest.Item) -> bool:
    """Say whether a test is one of the nightly run, and this run is none."""
    return item.get_closest_marker("smoke") is not None and not get_options(item.config).smoke


def _read_promise_number(item: pytest.Item) -> int:
    """Return the number of a test's promise; 0, so before all promises, for other tests."""
    mark = item.get_closest_marker("promise")
    return int(mark.args[0]) if mark else 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Report a test as not supported if the mesh lacks a feature of its mark `needs`.

    Before it, while no rules are served, requests for addons are sent as soon as these answer.
    """
    context = find_context(item.config)
    if context is not None and context.addon_traffic is not None:
        with context.phases.measure(Phase.ADDONS):
            context.addon_traffic.advance()
    mark = item.get_closest_marker("needs")
    if mark is not None:
        from meshproof.plugin.recorder import require_features

        require_features(item, mark.args)
