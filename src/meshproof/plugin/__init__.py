"""The pytest plugin: options, marks and the record of a run. Imports nothing heavy.

Without our options and fixtures a run does not change. PYTEST_DONT_REWRITE: see meshproof/__init__.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meshproof.base import signals
from meshproof.base.errors import MeshproofError, UsageError

_MARKS = (
    "promise(number, name, title): what this test proves to the user; names it in every report "
    "({addon} stands for the parameter of that name)",
    "rules(folder): the rules to serve, manifests/rules/<folder>/, in each dialect (with `routed`)",
    "needs(*features): features of the mesh without which the test is reported as not supported",
    "smoke: a test of the nightly run alone (`meshproof smoke`)",
    "checks(n): how many times this test judges (1 where it is not said); shares the run's alpha",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; all begin with --mesh."""
    group = parser.getgroup("meshproof", "meshproof: does the mesh route as its rules say?")
    add = group.addoption
    add("--mesh", metavar="NAME", help="the mesh: local (default) or cluster")
    add(
        "--mesh-rules",
        metavar="PATH",
        action="append",
        default=[],
        help="your own rule files, or cluster:NAMESPACE: every test that takes `rule_case` runs "
        "once for each case",
    )
    add("--mesh-mtls", metavar="MODE", default="permissive", help="permissive, strict or disable")
    add("--mesh-port", metavar="PORT", type=int, default=0, help="ingress port (0: a free one)")
    add("--mesh-envoy", metavar="PATH", help="the Envoy to run (default: the wheel's)")
    add(
        "--mesh-addon",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="where an addon's program is, or NAME=off; else it is looked for on PATH",
    )
    add("--mesh-require-addon", metavar="NAME", action="append", default=[], help="fail without it")
    add("--mesh-report", metavar="DIR", help="write the reports to this folder")
    add("--mesh-format", metavar="NAME", action="append", help="reports to write (default: all)")
    add("--mesh-cli", action="store_true", help="print verdicts in place of pytest's own output")
    _add_cluster_options(
        parser.getgroup("meshproof-cluster", "meshproof: --mesh cluster").addoption
    )
    _add_install_options(parser.getgroup("meshproof-cluster").addoption)
    judge_group = parser.getgroup("meshproof-judge", "meshproof: error rates of the verdicts")
    add = judge_group.addoption
    add("--mesh-profile", choices=["gate", "nightly"], default="gate", help="set of defaults")
    add("--mesh-alpha", type=float, default=1e-4, help="chance of any false FAIL in the whole run")
    add("--mesh-beta", type=float, help="chance to miss a fault of the tolerated size, per check")
    add("--mesh-tolerance", type=float, help="share error that must be caught (0.10: 10 points)")
    add("--mesh-leak", type=float, help="share of a version of weight 0 that must be caught")
    add("--mesh-budget", type=int, help="most requests per check; too few: inconclusive")
    add("--mesh-workers", type=int, default=4, help="requests at a time (default 4)")
    add("--mesh-clients", type=int, default=1, help="source addresses that take turns (default 1)")
    add("--mesh-fresh-connections", action="store_true", help="a new connection for each request")


def _add_install_options(add: Callable[..., None]) -> None:
    """Add the options for making a cluster and installing an Istio for the run."""
    add(
        "--mesh-provider",
        metavar="NAME",
        help="make a cluster for the run: kind, minikube or k3d; external: use --mesh-kubeconfig",
    )
    add("--mesh-provider-config", metavar="PATH", help="the provider's own config file")
    add("--mesh-provider-version", metavar="VERSION", help="of Kubernetes (default: 1.35.0)")
    add(
        "--mesh-install",
        metavar="PROFILE",
        nargs="?",
        const="default",
        help="install Istio for the run with istioctl, and remove it at the end",
    )
    add("--mesh-install-revision", metavar="NAME", help="its revision (default: one of the run's)")
    add("--mesh-install-hub", metavar="HUB", help="where its images come from")
    add("--mesh-install-tag", metavar="TAG", help="the tag of its images")
    add(
        "--mesh-install-set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="what `istioctl install --set` takes",
    )


def _add_cluster_options(add: Callable[..., None]) -> None:
    """Add the options of the cluster mesh."""
    add("--mesh-kubeconfig", metavar="PATH", help="default: as kubectl finds it")
    add("--mesh-context", metavar="NAME", help="context of the kubeconfig (default: the current)")
    add("--mesh-istio-namespace", metavar="NAME", help="where istiod runs (istio-system)")
    add(
        "--mesh-smoke",
        action="store_true",
        help="stand up what `meshproof smoke` does: few pods, with small requests and limits",
    )
    add(
        "--mesh-sandbox",
        metavar="N",
        type=int,
        help="check the cases of --mesh-rules in a sandbox of the cluster, with at most N echo "
        "workloads (more: on a local mesh)",
    )
    add("--mesh-revision", metavar="NAME", help="the revision of Istio that injects")
    add(
        "--mesh-injection",
        choices=["namespace", "istioctl"],
        default="namespace",
        help="sidecars by a label of the namespace (default) or by `istioctl kube-inject`",
    )
    add(
        "--mesh-way-in",
        choices=["istio", "gateway-api"],
        default="istio",
        help="how the way in to our apps is written: Istio's Gateway (default) or Gateway API",
    )
    add("--mesh-ingress", metavar="NAMESPACE/NAME", help="Service of the ingress gateway")
    add(
        "--mesh-gateway-url", metavar="URL", help="the way in (default: GATEWAY_URL, or looked for)"
    )
    add("--mesh-image-map", metavar="IMAGE=IMAGE", action="append", default=[], help="pull instead")
    add(
        "--mesh-namespace-label",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="the run's namespaces have this label, too: one that istiod's discoverySelectors ask "
        "for, say",
    )
    add("--mesh-image-prefix", metavar="PREFIX", help="registry and path that all images come from")


def pytest_configure(config: pytest.Config) -> None:
    """Register our marks and fixtures and, with --mesh-report, the recorder."""
    for line in _MARKS:
        config.addinivalue_line("markers", line)
    for path in _find_fixture_folders():
        for module in pkgutil.iter_modules([str(path)]):
            config.pluginmanager.import_plugin(f"meshproof.fixtures.{module.name}")
    for name in ("own_processes", "verdicts", "endings"):
        config.pluginmanager.import_plugin(f"meshproof.plugin.{name}")
    try:
        if config.getoption("mesh_report"):
            _claim_report_folder(config)
        _check_options(config)
        if config.getoption("mesh_report"):
            _start_recorder(config)
    except MeshproofError as error:
        raise pytest.UsageError(str(error)) from None


def _claim_report_folder(config: pytest.Config) -> None:
    """Claim the folder of --mesh-report before anything can fail; older reports are removed.

    The option has the claimed folder from now on. Raises UsageError where none can be written.
    """
    from meshproof.plugin import settings
    from meshproof.run import report_folder

    folder = report_folder.claim(Path(config.getoption("mesh_report")))
    config.add_cleanup(folder.release)
    config.option.mesh_report = str(folder.path)
    if folder.note:
        settings.add_note(config, f"{folder.note}: those of this run are in {folder.path}")


def _check_options(config: pytest.Config) -> None:
    """Raise MeshproofError for an invalid option, before the tests are collected."""
    if config.getoption("mesh_cli"):
        from meshproof.plugin import settings

        settings.read_mesh_options(config)
    if config.getoption("mesh_sandbox") is not None:
        from meshproof.plugin import placement

        placement.read_sandbox_limit(config)
    if config.getoption("mesh_rules"):
        from meshproof.plugin import settings

        settings.load_user_rules(config)


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
    if "rule_case" in metafunc.fixturenames and metafunc.config.getoption("mesh_rules"):
        from meshproof.plugin import settings

        cases = settings.load_user_rules(metafunc.config).plan.cases
        ids = [case.id for case in cases]
        metafunc.parametrize("rule_case", cases, ids=ids, indirect=True)
    if "rule_aside" in metafunc.fixturenames and metafunc.config.getoption("mesh_rules"):
        from meshproof.plugin import settings

        excluded = settings.load_user_rules(metafunc.config).excluded
        metafunc.parametrize(
            "rule_aside",
            excluded,
            ids=[live_object.name for live_object in excluded],
            indirect=True,
        )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put promises in the order of their numbers; fix how many checks share the run's alpha.

    Deselect tests of cases without --mesh-rules, tests of excluded objects where there are none,
    and tests of the nightly run without --mesh-smoke.
    """
    deselected: list[pytest.Item] = []
    for name in _list_empty_parameters(config):
        deselected += [item for item in items if name in getattr(item, "fixturenames", ())]
    if not config.getoption("mesh_smoke"):
        deselected += [item for item in items if item.get_closest_marker("smoke")]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
    if any({"judge", "mesh"} & set(getattr(item, "fixturenames", ())) for item in items):
        from meshproof.plugin import settings

        items.sort(key=_read_promise_number)
        settings.plan_run(config, items)


def _list_empty_parameters(config: pytest.Config) -> list[str]:
    """Return the parameters of tests of user rules that have no value in this run."""
    if not config.getoption("mesh_rules"):
        return ["rule_case", "rule_aside"]
    from meshproof.plugin import settings

    user_rules = settings.load_user_rules(config)
    values_by_parameter = {"rule_case": user_rules.plan.cases, "rule_aside": user_rules.excluded}
    return [name for name, values in values_by_parameter.items() if not values]


def _read_promise_number(item: pytest.Item) -> int:
    """Return the number of a test's promise; 0, so before all promises, for other tests."""
    mark = item.get_closest_marker("promise")
    return int(mark.args[0]) if mark else 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Report a test as not supported if the mesh lacks a feature of its mark `needs`."""
    mark = item.get_closest_marker("needs")
    if mark is not None:
        from meshproof.plugin.recorder import require_features

        require_features(item, mark.args)
